"""Sweeps on a cluster, by name or job: their jobs, copies of their records, their output, and their end."""

import contextlib
import getpass
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from convnn.plugins import Plugin, editable
from search_spaces.settings import NAME_RULE, is_name
from tune_jobs.cluster.archive import room
from tune_jobs.cluster.follow import follow
from tune_jobs.cluster.gate import (
    LARGEST_REPLY,
    Answer,
    Command,
    Probed,
    SweepList,
    command_of,
    malformed,
    read_reply,
    shown,
)
from tune_jobs.cluster.job_result import Receiver
from tune_jobs.cluster.jobs import Job, Jobs
from tune_jobs.cluster.package import write_package
from tune_jobs.cluster.probe import DATA_S
from tune_jobs.cluster.transfer import put_in_place, unpack
from tune_jobs.errors import ClusterError, SweepError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.manifest import git_state
from tune_jobs.system.packages import DISTRIBUTION
from tune_jobs.system.redaction import without_password

ENTRYPOINT = "python -m tune_jobs.cli.cluster_job"
STOP_WAIT_S = 60
"""Time between the SIGTERM of `ray job stop` and the kill, in which running trials save their state."""

SILENCE_S = 150.0
"""How long a small job may take to start, and to be silent between two lines of its answer."""

ENDS_S = 20.0

_KIND = "convnn"
_SAID = 5
_LONGEST_SAID = 500
_ENVIRONMENT = {
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "COLUMNS": "160",
}


@dataclass(frozen=True)
class Located:
    """A sweep on the cluster."""

    name: str
    storage: str | None
    """The sweep's storage folder on the cluster; `None` for the cluster's default."""

    job: Job | None
    """Its latest job, if the cluster still knows one."""


def in_storage(folder: str | None) -> list[str]:
    """Return the option that names the storage folder to a command on the cluster; empty for its default."""
    return ["--storage", folder] if folder else []


class Cluster:
    """The sweeps of the cluster at an address.

    Raises:
        ClusterError: If the cluster does not answer in time; also from every method.
        UsageError: See `Jobs`; also from methods, if the sweep does not exist.
    """

    def __init__(self, address: str, storage: str | None = None) -> None:
        self.jobs = Jobs(address)
        self.address = self.jobs.address
        self._storage = storage

    def sweep_jobs(self) -> list[Job]:
        """Return the jobs that run or ran sweeps, the newest first; their metadata is a `gate.Command`."""
        return [job for job in self._commands() if isinstance(self._runs(job), Command)]

    def _commands(self) -> list[Job]:
        return [job for job in self.jobs.jobs() if job.metadata.get(_KIND) == "command"]

    def _runs(self, job: Job) -> Command | ClusterError:
        """Return what a job runs, or why its metadata is invalid: anybody can give a job any name."""
        try:
            return command_of(job.id, job.metadata, self.address)
        except ClusterError as error:
            return error

    def locate(self, name: str) -> Located:
        """Return the sweep called `name`, or the sweep of the job `name`; it may have no job on the cluster.

        Of several jobs of one sweep, a running one is preferred to an ended one, and a newer one to an older one.
        """
        found: list[tuple[Job, Command]] = []
        for job in self._commands():
            runs = self._runs(job)
            if isinstance(runs, ClusterError):
                if job.id == name:
                    raise runs
            elif job.id == name or (runs.sweep == name and _same_folder(self._storage, runs.storage)):
                found.append((job, runs))
        for job, runs in sorted(found, key=lambda pair: pair[0].ended):
            return Located(runs.sweep, runs.storage or self._storage, job)
        if not is_name(name):
            raise UsageError(f"a sweep's name is {NAME_RULE}, got {shown(name)}; `convnn list` shows the sweeps.")
        return Located(name, self._storage, None)

    def start(
        self,
        command: str,
        sweep: str,
        task: dict[str, Any],
        *,
        text: str | None,
        code: bool,
        plugins: Sequence[Plugin],
    ) -> tuple[str, int]:
        """Start a job that runs a sweep; return its id and the size of the upload in bytes.

        The upload includes the code of `plugins`.
        """
        metadata = {_KIND: "command", "sweep": sweep, "command": command, "storage": task.get("storage") or ""}
        return self._submit({"kind": "command", **task, **_origin()}, metadata, text=text, code=code, plugins=plugins)

    def ask(self, *arguments: str, silence_s: float | None = SILENCE_S) -> str:
        """Return the output of the `convnn` command with these arguments on the cluster.

        Gives up if the job is silent for `silence_s`, unless that is `None`.

        Raises:
            SweepError: If the command fails there, with its message.
        """
        with tempfile.TemporaryFile() as answer:
            task = {"kind": "ask", "arguments": list(arguments)}
            self._receive(task, answer, silence_s, plugins=editable())  # to read records of sweeps with their kinds
            result = read_reply(Answer, answer.read(), self.address)
        if result.code:
            raise _error_of(result.code, result.err.strip().removeprefix("convnn: "))
        return result.out

    def sweeps(self, folder: str | None) -> SweepList:
        """Return the sweeps in a folder of the cluster; in its default folder if `None`."""
        return read_reply(SweepList, self.ask("list", "--json", *in_storage(folder)), self.address)

    def probe(self, request: dict[str, Any], plugins: Sequence[Plugin] = ()) -> dict[str, Any]:
        """Return what the cluster has; see `tune_jobs.cluster.probe`. `plugins` may contain the data sets to check."""
        with tempfile.TemporaryFile() as answer:
            self._receive({"kind": "probe", **request}, answer, DATA_S + SILENCE_S, plugins=plugins)
            found = read_reply(Probed, answer.read(), self.address).model_dump()
        for node in found["nodes"]:
            if node["error"] is None and len(node["data"]) != len(request["data"]):
                raise malformed(self.address, "a machine without an answer for some images")
            if node["error"] is None:
                node["versions"] = dict.fromkeys(request["packages"]) | node["versions"]
        return found

    @contextlib.contextmanager
    def record(self, sweep: Located) -> Iterator[tuple[SweepFolder, dict[str, Any]]]:
        """Yield a temporary copy of a sweep's record, and where the sweep is."""
        with tempfile.TemporaryDirectory(prefix="convnn-record-") as scratch:
            folder = SweepFolder(Path(scratch) / sweep.name)
            yield folder, self._copy(sweep, "record", folder.path)

    def fetch(self, sweep: Located, folder: SweepFolder, *, checkpoints: bool) -> dict[str, Any]:
        """Copy a sweep's folder to `folder`; return where it was, and what was left out.

        Raises:
            UsageError: If another sweep is in `folder`.
            OSError: If it cannot be written.
        """
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.path.parent) as scratch:
            copy = Path(scratch) / sweep.name
            origin = self._copy(sweep, "checkpoints" if checkpoints else "folder", copy)
            put_in_place(copy, folder)
        return origin

    def _copy(self, sweep: Located, what: str, into: Path) -> dict[str, Any]:
        task = {"kind": "copy", "sweep": sweep.name, "storage": sweep.storage, "what": what}
        with tempfile.NamedTemporaryFile(suffix=".tar.gz", dir=into.parent) as archive:
            self._receive(task, archive, most=room(into.parent))
            archive.flush()
            return unpack(Path(archive.name), into, self.address)

    def _receive(
        self,
        task: dict[str, Any],
        into: IO[bytes],
        silence_s: float | None = SILENCE_S,
        *,
        most: int = LARGEST_REPLY,
        plugins: Sequence[Plugin] = (),
    ) -> None:
        """Run a small job, and write its result of at most `most` bytes to `into`, which is then at its start."""
        job_id, _ = self._submit(task, {_KIND: task["kind"]}, text=None, code=True, plugins=plugins)
        receiver = Receiver(into, self.address, most)
        try:
            for chunk in follow(self.jobs, job_id, silence_s):
                receiver.take(chunk)
                if receiver.whole:
                    break
        except BaseException:
            with contextlib.suppress(SweepError):
                self.jobs.stop(job_id)
            raise
        if not receiver.whole:
            raise ClusterError(self._no_result(job_id, receiver.other))
        with contextlib.suppress(ClusterError):  # the answer is complete, even if the job now fails
            self.jobs.wait(job_id, ENDS_S)
            self.jobs.forget(job_id)
        into.seek(0)

    def _no_result(self, job_id: str, said: Sequence[str]) -> str:
        lines = [line.strip() for line in said if line.strip()]
        if any(line.endswith("not found") and "python" in line for line in lines):
            return (
                f"the cluster at {self.address} has no `python` where its jobs run; start Ray there with its "
                f"environment activated: . .venv/bin/activate && ray start --head ..."
            )
        missing = next((line for line in lines if line.startswith("ModuleNotFoundError")), None)
        if missing:
            return (
                f"the `python` of the cluster at {self.address} lacks a package ({missing.partition(': ')[2]}); start "
                f"Ray there with an activated environment that has the packages of requirements.lock."
            )
        job = self.jobs.job(job_id)
        words = " | ".join(line[:_LONGEST_SAID] for line in lines[-_SAID:]) or job.message
        return f"job {job_id} at {self.address} ended without an answer ({job.status}): {words}"

    def _submit(
        self,
        task: dict[str, Any],
        metadata: dict[str, str],
        *,
        text: str | None,
        code: bool,
        plugins: Sequence[Plugin],
    ) -> tuple[str, int]:
        with tempfile.TemporaryDirectory(prefix="convnn-submit-") as scratch:
            package = Path(scratch) / "package.zip"
            size = write_package(package, task, sweep=text, code=code, plugins=plugins)
            return self.jobs.submit(ENTRYPOINT, package, metadata, _ENVIRONMENT), size


def _same_folder(given: str | None, there: str | None) -> bool:
    """Whether a folder as the user gives it may be this folder of the cluster, whose home folder is unknown here."""
    if not given or not there:
        return True
    given, there = given.rstrip("/"), there.rstrip("/")
    return given == there or (given.startswith("~/") and there.endswith(given[1:]))


def _origin() -> dict[str, Any]:
    """Return who submits what, for the manifest."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    submitted = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [without_password(word) for word in sys.argv],
        "host": socket.gethostname(),
        "user": user,
        "version": version(DISTRIBUTION),
    }
    return {"submitted": submitted, "git": git_state(Path.cwd())}


def _error_of(code: int, words: str) -> SweepError:
    kind = {2: UsageError, 4: ClusterError}.get(code, SweepError)
    return kind(words)
