"""A sweep as a batch job of a real Slurm: at its time limit, requeued, cancelled, and to its end."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.driving import environment, left_over
from tests.faults.sweeps import SHORT_GRID, Sweep
from tests.system.documents import blocks
from tests.system.slurm import Slurm, slurm
from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.stores import new_store

SHORT = SHORT_GRID.but(name="hybrid", space__model__layer={"lambda": 0.5}, space__training__epochs=2)
ENDLESS = SHORT.but(space__training__epochs=5000)
WAIT_S = 120.0
ACTIVATE = ". .venv/bin/activate"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    with slurm() as started:
        yield started


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not in {WAIT_S:g} s: {what}"
        time.sleep(0.3)


class Job:
    """The batch script of the documentation, in a folder with the sweep's file."""

    def __init__(self, cluster: Slurm, place: Path, sweep: Sweep) -> None:
        place.mkdir()
        self.storage, self.output = place / "sweeps", place / "out.txt"
        self.ledger = self.storage / sweep.name / "ledger.db"
        self.tracker = new_store(self.ledger.parents[1] / "mlflow.db")
        self._cluster = cluster
        self._script = place / "hybrid.sh"
        (written,) = blocks("docs/how-to/slurm.md", "slurm")
        assert ACTIVATE in written.text
        self._script.write_text(written.text.replace(ACTIVATE, f". {Path(sys.prefix, 'bin', 'activate')}"))
        sweep.write(place / "hybrid.yaml")
        self.number = ""

    def submit(self) -> None:
        place = self._script.parent
        where = (f"--chdir={place}", f"--output={self.output}", "--cpus-per-task=1")
        self.number = self._cluster.submit(self._script, *where, **environment(self.storage, place))

    def trains(self) -> None:
        """Wait until it has trained a new epoch."""
        begun = time.time()
        wait_for("an epoch", lambda: self.ledger.exists() and oracle.read(self.ledger).epochs_after(begun))

    def ended_in_order(self) -> None:
        """Check that none of its processes is left, and that nothing is recorded as running."""
        wait_for("its processes have ended", lambda: not left_over(self.storage))
        assert [a for a in oracle.read(self.ledger).attempts if a.state == "running"] == []
        assert oracle.open_runs(self.tracker, "hybrid") == []
        said = self.output.read_text()
        assert "convnn resume hybrid" in said
        assert "worker.py" not in said  # Ray's own log lines; one would say that Ray was started again after its end


def test_a_sweep_resumes_after_its_time_limit_and_ends_cleanly_when_cancelled(cluster: Slurm, tmp_path: Path) -> None:
    job = Job(cluster, tmp_path / "endless", ENDLESS)
    job.submit()
    job.trains()
    cluster(
        "scontrol", "update", f"job={job.number}", "TimeLimit=3"
    )  # less time is left than the script's warning time
    wait_for("it is requeued", lambda: cluster.field(job.number, "Restarts") == "1")
    job.ended_in_order()

    cluster(
        "scontrol", "update", f"job={job.number}", "StartTime=now", "TimeLimit=60"
    )  # otherwise it starts in two minutes
    job.trains()
    cluster("scancel", job.number)
    cluster.wait(job.number, "CANCELLED")
    job.ended_in_order()
    assert cluster.field(job.number, "Restarts") == "1"
    first, second = oracle.read(job.ledger).attempts
    assert (first.state, second.state) == ("interrupted", "interrupted")
    assert (second.from_epoch or 0) > 0
    assert "not running" in invoke("status", "hybrid", storage=job.storage)
    assert "resumed after epoch" in invoke("logs", "hybrid", 1, storage=job.storage)


def test_a_sweep_runs_to_its_end(cluster: Slurm, tmp_path: Path) -> None:
    job = Job(cluster, tmp_path / "short", SHORT)
    job.submit()
    cluster.wait(job.number, "COMPLETED")
    record = oracle.read(job.ledger)
    assert [trial.state for trial in record.trials.values()] == ["complete"]
    assert not oracle.compare_tracker(record, job.tracker, "hybrid")
