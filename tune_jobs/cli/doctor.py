"""`convnn doctor`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces import load_sweep
from tune_jobs.cli.shared.options import AsJson, Set, Storage, print_json, storage_of
from tune_jobs.cli.shared.remote import At, given
from tune_jobs.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces import SweepSpec
    from tune_jobs.doctor.finding import Finding


def doctor(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A sweep file or a preset, to check its images, tracker and resources too."
        ),
    ] = None,
    overrides: Set = None,
    storage: Storage = None,
    *,
    address: At = None,
    as_json: AsJson = False,
) -> None:
    """Find problems that would prevent a sweep from running, here or on a cluster. Example: convnn doctor mine.yaml.

    Prints one line per check, with the fix if it fails. Exit code 1 if a check fails.
    """
    spec = load_sweep(file, overrides or ()) if file else None
    findings = []
    for finding in _on_cluster(spec, storage, address) if address else _here(spec, storage_of(storage)):
        findings.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        print_json({"ok": all(finding.ok for finding in findings), "checks": [each.as_dict() for each in findings]})
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def _here(spec: "SweepSpec | None", storage: Path) -> "Iterator[Finding]":
    from search_spaces.settings import Resources
    from tune_jobs.doctor.this_machine import check_here
    from tune_jobs.planning.plan import plan

    data = [(data.name, data.root, spec.evaluation.opens) for data in spec.space.data_sets()] if spec else []
    tracker = (spec.tracking.uri if spec else None) or os.environ.get("MLFLOW_TRACKING_URI")
    asked = spec.resources if spec else Resources()
    gpu, planned = asked.gpus_per_trial > 0, plan(spec) if spec else None
    yield from check_here(
        storage,
        tracker,
        data,
        cpus=asked.cpus_per_trial,
        gpu=gpu,
        memory_gb=planned.memory_gb if planned and not gpu else 0.0,
        at_once=planned.slots if planned else 1,
    )


def _on_cluster(spec: "SweepSpec | None", storage: Path | None, address: str) -> "Iterator[Finding]":
    import tempfile

    from tune_jobs.cluster.catalog import Cluster
    from tune_jobs.cluster.package import write_package
    from tune_jobs.cluster.submission import check_cluster
    from tune_jobs.doctor.finding import Finding
    from tune_jobs.errors import SweepError
    from tune_jobs.system.files import size_text

    try:
        cluster = Cluster(address, given(storage))
    except SweepError as error:
        yield Finding("cluster", ok=False, says=str(error))
        return
    yield Finding("address", ok=True, says=f"Ray {cluster.jobs.ray_version} answers at {cluster.address}")
    try:
        with tempfile.TemporaryDirectory(prefix="convnn-doctor-") as scratch:
            size = write_package(Path(scratch) / "package.zip", {}, sweep=spec.text if spec else None)
        yield Finding("upload", ok=True, says=f"{size_text(size)}, if the cluster does not have our code")
    except SweepError as error:
        yield Finding("upload", ok=False, says=str(error))
    try:
        yield from check_cluster(cluster, spec, given(storage))[1]
    except SweepError as error:
        yield Finding("jobs", ok=False, says=str(error))
