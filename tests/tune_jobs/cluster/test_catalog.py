"""A sweep is found by its name or its job among the cluster's jobs."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convnn.plugins import LAYERS
from search_spaces import parse_sweep
from tests.installing import edited, installed, write_plugin
from tests.tune_jobs.cluster.head import Head
from tune_jobs.cluster.catalog import Cluster, Located
from tune_jobs.cluster.submission import check_cluster
from tune_jobs.errors import ClusterError
from tune_jobs.record.folder import SweepFolder


def job(number: int, sweep: str, status: str = "SUCCEEDED", storage: str = "/sweeps") -> dict[str, Any]:
    return {
        "type": "SUBMISSION",
        "submission_id": f"job{number}",
        "status": status,
        "entrypoint": "x",
        "start_time": number,
        "metadata": {"convnn": "command", "sweep": sweep, "command": "run", "storage": storage},
    }


@pytest.fixture
def head() -> Iterator[Head]:
    with Head().serving() as serving:
        yield serving


def found(head: Head, name: str, storage: str | None = None) -> tuple[str, str | None, str | None]:
    located: Located = Cluster(head.address, storage).locate(name)
    return located.name, located.storage, located.job.id if located.job else None


PLUGIN = """
from typing import ClassVar, Literal
from search_spaces.models import VGGLayer

class Zz(VGGLayer):
    config_version: ClassVar[int] = 1
    kind: Literal["zz"]

    def arguments(self):
        return {}
"""


def test_only_jobs_that_use_editable_plugins_upload_them(head: Head, tmp_path: Path) -> None:
    site = write_plugin(tmp_path / "site", "zz", {"zz_kinds.py": PLUGIN}, {LAYERS: "zz = zz_kinds:Zz"})
    cluster, sweep = Cluster(head.address), Located("mine", None, None)
    with installed(edited(site)):
        uses, other = (
            parse_sweep(f"name: a\nspace: {{model: {{layer: {{kind: {kind}}}}}}}") for kind in ("zz", "conv2d")
        )
        for ask in (
            lambda: cluster.fetch(sweep, SweepFolder(tmp_path / "mine"), checkpoints=False),
            lambda: check_cluster(cluster, other, None),
            lambda: check_cluster(cluster, None, None),
            lambda: check_cluster(cluster, uses, None),
            lambda: cluster.ask("list"),  # reads records, which may have the plugin's kinds
        ):
            with pytest.raises(ClusterError, match="accepts no jobs"):
                ask()
    names = [zipfile.ZipFile(io.BytesIO(content)).namelist() for content in head.uploads]
    assert ["zz_kinds.py" in each for each in names] == [False, False, False, True, True]


def test_a_running_job_of_a_sweep_is_preferred_then_the_newest(head: Head) -> None:
    head.jobs = [job(1, "mine"), job(3, "mine"), job(2, "other")]
    assert found(head, "mine") == ("mine", "/sweeps", "job3")
    head.jobs[0]["status"] = "RUNNING"
    assert found(head, "mine") == ("mine", "/sweeps", "job1")


def test_a_job_names_its_sweep(head: Head) -> None:
    head.jobs = [job(1, "mine"), job(2, "mine")]
    assert found(head, "job1") == ("mine", "/sweeps", "job1")


def test_a_sweep_in_another_folder_is_a_different_sweep(head: Head) -> None:
    head.jobs = [job(1, "mine", storage="/home/me/a"), job(2, "mine", storage="/b")]
    assert found(head, "mine", "/b/") == ("mine", "/b", "job2")
    assert found(head, "mine", "~/a") == ("mine", "/home/me/a", "job1")
    assert found(head, "mine", "/c") == ("mine", "/c", None)


def test_a_sweep_without_a_job_may_exist(head: Head) -> None:
    head.jobs = [{**job(1, "mine"), "metadata": {"convnn": "probe"}}]
    assert found(head, "mine") == ("mine", None, None)
