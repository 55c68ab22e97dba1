"""The folders of sweeps, `<storage>/<name>/`, and the files in them."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search_spaces import SweepSpec, parse_sweep
from search_spaces.reading.likeness import MOST_ALIKE, alike, did_you_mean
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record import names
from tune_jobs.record.lease import locked

_LONGEST = 255
"""Maximum length of a folder name in bytes."""


def default_storage() -> Path:
    """Return `CONVNN_STORAGE`, or `~/convnn-sweeps` if it is not set."""
    return Path(os.environ.get("CONVNN_STORAGE") or "~/convnn-sweeps").expanduser().absolute()


def storage_folder(given: str | Path | None) -> Path:
    """Return the folder of all sweeps as an absolute path; `default_storage()` if `None`."""
    return default_storage() if given is None else Path(given).expanduser().absolute()


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep. A copy of the folder is a copy of the sweep."""

    path: Path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.path / names.LEDGER

    @property
    def spec(self) -> Path:
        """The sweep file as it was run."""
        return self.path / names.SPEC

    @property
    def manifest(self) -> Path:
        """The manifest: code, packages and command of each start."""
        return self.path / names.MANIFEST

    @property
    def report(self) -> Path:
        """The report page of the sweep, once it is drawn."""
        return self.path / names.REPORT

    @property
    def comparison(self) -> Path:
        """The page that compares it with the published runs, once a user has asked for it."""
        return self.path / names.COMPARISON

    @property
    def comparison_table(self) -> Path:
        """The numbers of the comparison page."""
        return self.path / names.COMPARISON_TABLE

    @property
    def stop_file(self) -> Path:
        """Exists while the sweep stops: workers then save a checkpoint after their epoch, and end."""
        return self.path / names.STOPPING

    @property
    def pause_file(self) -> Path:
        """Exists to ask the sweep's driver to stop after the epoch of every running trial."""
        return self.path / names.PAUSING

    @property
    def stop_trials(self) -> Path:
        """A folder of request files, named by the run keys of trials that the driver should stop."""
        return self.path / names.STOP_TRIALS

    def attempt(self, run_key: str, attempt: int) -> Path:
        """Return the folder of one attempt."""
        return self._trial(run_key) / str(int(attempt))

    def attempts(self, run_key: str | None = None) -> list[Path]:
        """Return the folders of a trial's attempts, or of all trials', with the oldest attempt of each trial first."""
        trials = sorted((self.path / names.TRIALS).glob("*")) if run_key is None else [self._trial(run_key)]
        numbered = [[path for path in trial.glob("[0-9]*") if path.name.isdecimal()] for trial in trials]
        return [path for found in numbered for path in sorted(found, key=lambda path: int(path.name))]

    def _trial(self, run_key: str) -> Path:
        if not names.can_be_run_key(run_key):
            raise LedgerError(f"{self.ledger} has the run key {run_key!r}, which is not valid; is it a sweep's ledger?")
        return self.path / names.TRIALS / run_key

    def log_of(self, run_key: str) -> Path:
        """Return the log file of a trial's latest attempt."""
        return (self.attempts(run_key) or [self.attempt(run_key, 1)])[-1] / names.LOG

    def checkpoints(self, run_key: str) -> list[Path]:
        """Return the checkpoints of a trial's attempts, the newest first."""
        return [path for attempt in reversed(self.attempts(run_key)) for path in checkpoints_in(attempt)]

    @property
    def store(self) -> Path:
        """MLflow's SQLite store, if no other tracker is configured."""
        return self.path / names.STORE


def checkpoint_path(attempt: Path, epoch: int) -> Path:
    """Return the path of the checkpoint after an epoch, in the folder of an attempt."""
    return attempt / f"checkpoint-{epoch:06d}.pt"


def epoch_of(checkpoint: Path) -> int:
    """Return the epoch after which a checkpoint was written, from its file name."""
    return int(checkpoint.stem.rpartition("-")[2])


def checkpoints_in(attempt: Path) -> list[Path]:
    """Return the checkpoints of one attempt, the newest first."""
    return sorted(attempt.glob("checkpoint*.pt"), reverse=True)


def sweep_folders(storage: Path) -> list[SweepFolder]:
    """Return every sweep in `storage`, sorted by name; none if the folder does not exist."""
    return [SweepFolder(path.parent) for path in sorted(storage.glob(f"*/{names.LEDGER}"))]


def find_sweep(name: str, storage: Path) -> SweepFolder:
    """Return the folder of the sweep called `name`.

    Raises:
        UsageError: If it does not exist; the message suggests similar names.
    """
    folder = SweepFolder(storage / name)
    plain = Path(name).name == name != ".." and "\0" not in name and len(os.fsencode(name)) <= _LONGEST
    if plain and folder.ledger.exists():
        return folder
    raise UsageError(f"there is no sweep {name!r} in {storage}; {_instead(name, storage)}")


def _instead(name: str, storage: Path) -> str:
    """Return a hint what to do about a sweep name that does not exist."""
    names = [found.name for found in sweep_folders(storage)]
    last = Path(name).name
    if not storage.is_dir():
        return "this folder does not exist; check --storage and CONVNN_STORAGE."
    if not names:
        return "the folder has no sweeps yet. To create one: convnn run quickstart"
    if last != name and last in names:
        return f"give only its name: {last}"
    if last.endswith((".yaml", ".yml")):
        return "give the name from the file (name:), not the file. To list the sweeps: convnn list"
    found = alike(name, names)
    return did_you_mean(found) if 0 < len(found) <= MOST_ALIKE else "to list the sweeps: convnn list"


def recorded_spec(folder: SweepFolder, overrides: Sequence[str] = ()) -> SweepSpec:
    """Return the sweep that its folder records, under the folder's name, with `overrides`.

    Raises:
        UsageError: If the sweep file in the folder is missing.
        SpecError: If that file or an override is not valid.
    """
    try:
        text = folder.spec.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(missing_spec(folder)) from error
    return replace(parse_sweep(text, str(folder.spec), overrides), name=folder.name)


def missing_spec(folder: SweepFolder) -> str:
    """Return the message for a sweep that has trials but whose sweep file is missing."""
    return (
        f"{folder.spec} is missing, so the trials cannot be checked against their settings; restore it, or start "
        f"over: convnn run FILE --fresh"
    )


def set_aside(folder: SweepFolder) -> SweepFolder:
    """Move a sweep folder aside, so that another sweep of its name can start, and return the new folder.

    Raises:
        LedgerError: If the sweep is running.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = folder.path.with_name(f"{folder.name[:80]}-until-{stamp}")
    with locked(folder.path):
        folder.path.rename(aside)
        (aside / names.OWNER).unlink(missing_ok=True)
    return SweepFolder(aside)
