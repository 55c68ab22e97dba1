"""`convnn status`."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search_spaces import SpecError
from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, console, print_json, storage_of
from tune_jobs.cli.shared.remote import At, first_line, given, place_of
from tune_jobs.display.tables import print_leaderboard, standing
from tune_jobs.errors import ClusterError, SweepError, UsageError
from tune_jobs.record.disk import Disk, disk_of
from tune_jobs.record.folder import SweepFolder, find_sweep, recorded_spec
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.results.summary import Summary, read_summary, state_of
from tune_jobs.search.risk import Risk, risk_of
from tune_jobs.system.files import size_text

if TYPE_CHECKING:
    from tune_jobs.cluster.jobs import Job

_SHOWN = 15
_HERE_S, _CLUSTER_S, _PATIENCE_S = 2.0, 10.0, 60.0


def status(
    sweep: Sweep,
    storage: Storage = None,
    *,
    address: At = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until the sweep has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show whether and where a sweep is running, and its progress. Example: convnn status mine --watch."""
    if watch and as_json:
        raise UsageError("--watch and --json cannot be combined; leave one out.")
    look = _on_cluster(sweep, storage, address) if address else _here(sweep, storage)
    failing_since = None
    while True:
        try:
            found, failing_since = look(), None
        except ClusterError:
            failing_since = failing_since or time.monotonic()
            if not watch or time.monotonic() - failing_since > _PATIENCE_S:
                raise
            time.sleep(_HERE_S)
            continue
        if as_json:
            print_json(found.as_dict())
            return
        if watch and console().is_terminal:
            console().clear()
        found.show()
        if not watch or not found.running:
            return
        time.sleep(_CLUSTER_S if address else _HERE_S)


class _Look:
    """The status of a sweep at one moment."""

    def __init__(
        self,
        summary: Summary | None,
        driver: dict[str, Any] | None,
        job: "Job | None",
        place: str,
        *,
        disk: Disk | None = None,
        risk: Risk | None = None,
    ) -> None:
        self._summary = summary
        self._risk = risk
        self._driver = driver
        self._job = job
        self._place = place
        self._disk = disk
        self.running = driver is not None or (job is not None and not job.ended)

    @property
    def _state(self) -> str:
        return state_of(self._summary, running=self.running) if self._summary else "unfinished"

    def as_dict(self) -> dict[str, Any]:
        job = self._job
        told = {"id": job.id, "status": job.status, "message": job.message} if job else None
        summary = self._summary.as_dict() if self._summary else None
        return {
            "running": self.running,
            "state": self._state,
            "driver": self._driver,
            "job": told,
            "place": self._place,
            "standing": summary,
            "risk": asdict(self._risk) if self._risk else None,
            "disk_bytes": asdict(self._disk) if self._disk else None,
        }

    def show(self) -> None:
        if self._job is not None:
            more = f" ({first_line(self._job.message)})" if self._job.ended and self._job.message else ""
            print(f"job {self._job.id}: {self._job.status}{more}")
        elif self._driver is not None:
            print(f"running: process {self._driver['pid']} on {self._driver['host']}")
        elif self._summary is not None:
            print(f"{self._state}: not running" if self._state == "unfinished" else self._state)
        else:
            print("not running")
        if self._summary is None:
            print("The sweep has no record yet.")
            return
        print(f"{standing(self._summary)}\n{self._place}")
        if self._risk is not None:
            print(self._risk)
        if self._disk is not None:
            print(f"{size_text(self._disk.all)} on disk, of which {size_text(self._disk.checkpoints)} are checkpoints")
        if self._summary.halted and not self.running:
            print(self._summary.halted.sentence)
        print()
        print_leaderboard(console(), self._summary, _SHOWN)


def _here(sweep: str, storage: Path | None) -> Callable[[], _Look]:
    folder = find_sweep(sweep, storage_of(storage))
    disk = disk_of(folder)  # only once, because it reads the size of every file
    return lambda: _Look(
        read_summary(folder), live_driver(folder.path), None, str(folder.path), disk=disk, risk=_risk(folder)
    )


def _risk(folder: SweepFolder) -> Risk | None:
    """Return what the stopping rule may have cost; `None` also if the recorded file cannot be read."""
    with contextlib.suppress(SpecError, SweepError), contextlib.closing(Ledger(folder.ledger)) as ledger:
        return risk_of(recorded_spec(folder), ledger.trials(), ledger.epochs, excluded(ledger.requests()))
    return None


def _on_cluster(sweep: str, storage: Path | None, address: str) -> Callable[[], _Look]:
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address, given(storage))

    def look() -> _Look:
        found = cluster.locate(sweep)
        try:
            with cluster.record(found) as (folder, origin):
                return _Look(read_summary(folder), origin["driver"], found.job, place_of(origin), risk=_risk(folder))
        except UsageError:
            if found.job is None:
                raise
            # the job has no record yet, or failed before it had one
            return _Look(None, None, found.job, found.storage or "")

    return look
