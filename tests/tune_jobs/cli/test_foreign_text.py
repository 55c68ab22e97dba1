"""No command prints control characters, whatever a sweep's record, a cluster or a command line contains."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cluster.head import JOB, Head
from tests.tune_jobs.program import convnn
from tests.tune_jobs.report import hostile
from tests.tune_jobs.report.drawn import Sweep, made
from tune_jobs.record.names import LOG

FOREIGN = "\x1b[2J\x1b]8;;x:y\x07\x1b]52;c;eA==\x07[red]\x9b1m\rover\u202e\u2066\x7f"
SEEN = r"\x1b[2J\x1b]8;;x:y\x07\x1b]52;c;eA==\x07[red]\u009b1m\x0dover\u202e\u2066\u007f"
OBEYED = set(FOREIGN) - set(SEEN)


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with made(tmp_path) as sweep:
        hostile.drawn(sweep)
        yield sweep


@pytest.mark.parametrize(
    "arguments", [["show", "drawn"], ["show", "drawn", 6], ["best", "drawn"], ["status", "drawn"], ["list"]]
)
@pytest.mark.parametrize("places", hostile.ROUNDS)
def test_a_command_shows_control_characters_of_a_record_as_text(
    sweep: Sweep, places: list[str], arguments: list[object]
) -> None:
    hostile.fill(sweep, [place for place in places if place not in hostile.FILES], FOREIGN)
    said = invoke(*arguments, storage=sweep.folder.path.parent)
    assert SEEN[:7] in said or (arguments, places) == (["list"], hostile.ALONE)  # a list names no trial
    assert not OBEYED & set(said)


def test_a_reason_is_shown_in_full_and_json_has_it_unchanged(sweep: Sweep) -> None:
    hostile.LEDGER["trials.reason"](sweep, FOREIGN)
    storage = sweep.folder.path.parent
    assert f"failed ({SEEN})" in invoke("show", "drawn", 6, storage=storage)
    assert invoke_json("show", "drawn", 6, storage=storage)["reason"] == FOREIGN


def test_a_printed_configuration_reads_back_unchanged(sweep: Sweep, tmp_path: Path) -> None:
    hostile.LEDGER["trials.config"](sweep, FOREIGN)
    said = invoke("best", "drawn", "--yaml", storage=tmp_path)
    assert not OBEYED & set(said)
    (tmp_path / "again.yaml").write_text(said)
    assert yaml.safe_load(said)["space"]["data"]["root"] == FOREIGN


def test_control_characters_in_a_trials_log_are_made_visible(sweep: Sweep) -> None:
    trial = sweep.ledger.trials()[0]
    folder = sweep.folder.attempt(trial.run_key, 1)
    folder.mkdir(parents=True)
    (folder / LOG).write_text(FOREIGN.replace("\r", "") + "\n")
    said = invoke("logs", "drawn", trial.number, storage=sweep.folder.path.parent)
    assert said == SEEN.replace(r"\x0d", "") + "\n"


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call
def test_control_characters_in_a_followed_log_are_made_visible(tmp_path: Path) -> None:
    head = Head([["one \x1b", "[2J", FOREIGN[10:], "\n"]], runs_until=1)
    head.jobs = [
        {
            "type": "SUBMISSION",
            "submission_id": JOB,
            "status": "RUNNING",
            "entrypoint": "x",
            "start_time": 1,
            "metadata": {"convnn": "command", "sweep": "drawn", "command": "show", "storage": "/sweeps"},
        }
    ]
    with head.serving():
        followed = invoke("logs", "-f", JOB, "--address", head.address, storage=tmp_path)
    assert followed.startswith(r"one \x1b[2J")
    assert not OBEYED & set(followed)


def test_control_characters_in_a_message_are_made_visible(tmp_path: Path) -> None:
    said = convnn("show", FOREIGN, storage=tmp_path / FOREIGN.replace("/", ""), expect=2)
    assert not OBEYED & set(said)
    assert SEEN in convnn("run", f"{FOREIGN}.yaml", storage=tmp_path, expect=2)
    assert not OBEYED & set(convnn("nonsense" + FOREIGN, storage=tmp_path, expect=2))
