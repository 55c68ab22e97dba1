"""A driver is killed after any of its commits, and the resumed sweep ends as if nothing had happened.

`make properties` kills the driver after each commit. A normal test run kills it after the first commit of each kind and
after every eighth commit.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.tune_jobs.driver.scripted import BY_HAND, COMMANDS, SEEDS, Command, new_ledger, run_once, to_the_end
from tune_jobs.driver import controller
from tune_jobs.failures import CLASSES, Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

FILES = ("ledger.db", "ledger.db-wal")
EVERY = int(os.environ.get("CONVNN_EVERY_COMMIT", "8"))

ROWS = """
SELECT 'asks', outcome, NULL, COUNT(*) FROM asks GROUP BY 2
UNION ALL SELECT 'trials', state, reason, COUNT(*) FROM trials GROUP BY 2, 3
UNION ALL SELECT 'attempts', state, failure, COUNT(*) FROM attempts GROUP BY 2, 3
UNION ALL SELECT 'epochs', NULL, NULL, COUNT(*) FROM epochs
UNION ALL SELECT 'requests', asked, NULL, COUNT(*) FROM requests GROUP BY 2
"""
"""Counts the rows of each sort. The kind of a commit is the set of sorts to which it adds rows."""


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory if possible: the test is about bytes, not about the disk."""
    shared = Path("/dev/shm")  # noqa: S108 - in a separate folder there
    place = Path(tempfile.mkdtemp(prefix="convnn-test-", dir=shared)) if shared.is_dir() else tmp_path
    yield place
    shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True)
class Alone:
    """The undisturbed sweep."""

    record: oracle.Record
    failures: dict[str, Failure]
    """The failure of each failed trial, by run key."""


class Killed:
    """After some commits, resumes the sweep from a copy of its ledger, and compares it with the undisturbed sweep."""

    def __init__(
        self,
        folder: SweepFolder,
        place: Path,
        alone: Alone,
        commands: Sequence[Command] = COMMANDS,
    ) -> None:
        self.ledger = new_ledger(folder.ledger)
        self.commits = 0
        self.kinds: set[frozenset[tuple[str | None, ...]]] = set()
        self.kills = 0
        self.command = 0
        self.differences: list[str] = []
        self._folder = folder
        self._place = place
        self._alone = alone
        self._commands = commands
        self._rows: dict[tuple[str | None, ...], int] = {}
        self.ledger.committed = self._kill

    def _kill(self) -> None:
        self.commits += 1
        known = len(self.kinds)
        self.kinds.add(self._kind())
        if len(self.kinds) == known and self.commits % EVERY:
            return
        self.kills += 1
        copy = SweepFolder(self._place / "copy" / self._folder.name)
        copy.path.mkdir(parents=True)
        for name in FILES:
            shutil.copy(self._folder.path / name, copy.path)
        with contextlib.closing(new_ledger(copy.ledger)) as ledger:
            ledger.interrupt_running()
            to_the_end(copy, ledger, self.command, begun=True, commands=self._commands)
            failures = ledger.failures()
        differences = oracle.compare(self._alone.record, oracle.read(copy.ledger))
        if differences or failures != self._alone.failures:
            self.differences.append(f"commit {self.commits}: {differences} {failures}")
        shutil.rmtree(copy.path)

    def _kind(self) -> frozenset[tuple[str | None, ...]]:
        before, self._rows = self._rows, {tuple(sort): count for *sort, count in self.ledger._read(ROWS)}
        return frozenset(sort for sort, count in self._rows.items() if count > before.get(sort, 0))

    def run(self) -> None:
        """Run all commands."""
        for number, command in enumerate(self._commands):
            self.command = number
            command.before(self.ledger)
            reopen = command.reopen
            while run_once(command.spec, self._folder, self.ledger, reopen, by_hand=command.by_hand) is not None:
                reopen = None
        self.ledger.close()


def left_alone(folder: SweepFolder, commands: Sequence[Command] = COMMANDS) -> Alone:
    folder.path.mkdir(parents=True)
    with contextlib.closing(new_ledger(folder.ledger)) as ledger:
        to_the_end(folder, ledger, commands=commands)
        return Alone(oracle.read(folder.ledger), ledger.failures())


def test_a_sweep_killed_after_any_commit_ends_like_an_undisturbed_one(memory: Path) -> None:
    alone = left_alone(SweepFolder(memory / "alone" / "scripted"))
    outcomes = {outcome for _, outcome, _ in alone.record.asks}
    assert outcomes >= {"new", "duplicate"}
    assert set(alone.record.failures()) == set(CLASSES)
    assert {trial.state for trial in alone.record.trials.values()} == {"complete", "stopped", "diverged", "failed"}
    assert len(alone.record.trials) >= 30

    folder = SweepFolder(memory / "killed" / "scripted")
    folder.path.mkdir(parents=True)
    killed = Killed(folder, memory, alone)
    killed.run()
    assert not killed.differences, "\n".join(killed.differences[:10])
    assert killed.commits >= 400
    print(f"{killed.commits} commits of {len(killed.kinds)} kinds, {killed.kills} kills")


def test_user_requests_for_trials_hold_after_a_kill_at_any_commit(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controller, "TICK_S", 0.5)  # requests are seen within the epoch
    alone = left_alone(SweepFolder(memory / "alone" / "scripted"), BY_HAND)
    with contextlib.closing(Ledger(memory / "alone" / "scripted" / "ledger.db")) as ledger:
        reasons = {(attempt.state, attempt.reason) for attempt in ledger.attempts()}
        assert {("stopped", "by hand"), ("stopped", "by the stopping rule"), ("complete", None)} <= reasons
        assert {request.asked for request in ledger.requests()} == {"stop", "retry", "exclude"}
        assert [trial.reason for trial in ledger.trials()].count("by hand") == 0  # all of them were run again

    folder = SweepFolder(memory / "killed" / "scripted")
    folder.path.mkdir(parents=True)
    killed = Killed(folder, memory, alone, BY_HAND)
    killed.run()
    assert not killed.differences, "\n".join(killed.differences[:10])
    assert killed.commits >= 100
    print(f"{killed.commits} commits of {len(killed.kinds)} kinds, {killed.kills} kills")


def test_a_sweep_with_several_seeds_killed_after_any_commit_ends_like_an_undisturbed_one(memory: Path) -> None:
    alone = left_alone(SweepFolder(memory / "alone" / "scripted"), SEEDS)
    with contextlib.closing(Ledger(memory / "alone" / "scripted" / "ledger.db")) as ledger:
        others = [trial for trial in ledger.trials() if trial.repeat_of is not None]
    assert len({trial.repeat_of for trial in others}) >= 2
    assert {trial.state for trial in others} == {"complete", "diverged", "failed"}

    folder = SweepFolder(memory / "killed" / "scripted")
    folder.path.mkdir(parents=True)
    killed = Killed(folder, memory, alone, SEEDS)
    killed.run()
    assert not killed.differences, "\n".join(killed.differences[:10])
    assert killed.commits >= 60
    print(f"{killed.commits} commits of {len(killed.kinds)} kinds, {killed.kills} kills")


def test_a_scripted_sweep_loads_neither_ray_nor_torch() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from tests.tune_jobs.driver.scripted import new_ledger, to_the_end
from tune_jobs.record.folder import SweepFolder
with tempfile.TemporaryDirectory() as place:
    folder = SweepFolder(Path(place) / "scripted")
    folder.path.mkdir()
    ledger = new_ledger(folder.ledger)
    to_the_end(folder, ledger)
    ledger.close()
print(sorted({"ray", "torch", "mlflow"} & set(sys.modules)))
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
