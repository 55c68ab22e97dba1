"""Copies a sweep's folder, or only its record, from the cluster, as a compressed tar in a job's log.

A running sweep can be copied: its databases are sent as consistent backups made by SQLite.
"""

import contextlib
import io
import json
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tune_jobs.cluster import archive as archives
from tune_jobs.cluster import gate
from tune_jobs.cluster.job_result import Sender
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, checkpoints_in, default_storage, find_sweep
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.names import LEDGER, MANIFEST, SPEC, STORE, belongs_to_driver

ORIGIN = "origin.json"
"""File in a copy that says where the sweep was, and what was left out."""

RECORD = (SPEC, MANIFEST)
DATABASES = (LEDGER, STORE)
_BUSY_S = 30.0


def send_copy(task: Mapping[str, Any]) -> None:
    """Send the copy that `task` requests: `sweep`, `storage`, and `what`, which is record, folder or checkpoints.

    Raises:
        UsageError: If the sweep does not exist.
    """
    place = Path(task["storage"]).expanduser() if task["storage"] else default_storage()
    folder = find_sweep(task["sweep"], place)
    chosen = dict(_record(folder)) if task["what"] == "record" else dict(_all(folder, task["what"] == "checkpoints"))
    left_out = sum(path.stat().st_size for path in _checkpoints(folder)) if task["what"] == "folder" else 0
    origin = {
        "host": socket.gethostname(),
        "path": str(folder.path),
        "left_out_bytes": left_out,
        "driver": live_driver(folder.path),
    }
    sender = Sender()
    out: Any = sender  # tarfile uses only `write`
    with (
        tempfile.TemporaryDirectory(prefix="convnn-copy-") as scratch,
        tarfile.open(fileobj=out, mode="w|gz") as archive,
    ):
        content = json.dumps(origin).encode()
        entry = tarfile.TarInfo(ORIGIN)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        for name, path in chosen.items():
            source = _backup(path, Path(scratch)) if name in DATABASES else path
            with contextlib.suppress(FileNotFoundError):  # a running sweep removes replaced files
                archive.add(source, name, recursive=False)
            if source != path:
                source.unlink()
    sender.end()


def unpack(archive: Path, into: Path, source: str) -> dict[str, Any]:
    """Unpack a copy into the folder `into`; return where it was. `source` is the cluster's address.

    Raises:
        ClusterError: If the archive is refused: see `archive.unpack`.
    """
    archives.unpack(archive, into, source)
    try:
        content = (into / ORIGIN).read_bytes()
    except FileNotFoundError as error:
        raise gate.malformed(source, f"an archive without {ORIGIN}") from error
    (into / ORIGIN).unlink()
    return gate.read_reply(gate.Origin, content, source).model_dump()


def put_in_place(copy: Path, folder: SweepFolder) -> None:
    """Move a copy to the sweep's folder here. Files of an earlier copy that the new one lacks are kept.

    Raises:
        UsageError: If another sweep of this name is there, or this sweep was resumed here.
    """
    if folder.path.exists():
        _require_older(SweepFolder(copy), folder)
        before = folder.path.with_name(f".{folder.name}.replaced")
        if before.exists():  # an earlier fetch was killed between the two renames
            _keep_what_is_missing(before, folder.path)
            shutil.rmtree(before, ignore_errors=True)
        folder.path.rename(before)
        copy.rename(folder.path)
        _keep_what_is_missing(before, folder.path)
        shutil.rmtree(before, ignore_errors=True)
    else:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        copy.rename(folder.path)


def _keep_what_is_missing(before: Path, now: Path) -> None:
    """Keep earlier fetched checkpoints, notes and tables: only their owner may remove them."""
    for path in sorted(before.rglob("*")):
        target = now / path.relative_to(before)
        passing = path.name.startswith(DATABASES) or path.suffix == ".lock"
        if path.is_file() and not passing and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def _require_older(copy: SweepFolder, there: SweepFolder) -> None:
    other = f"{there.path} already exists, and it is {{}}; nothing was copied. Choose another folder with --storage."
    if not there.ledger.exists():
        raise UsageError(other.format("not a sweep"))
    if live_driver(there.path):
        raise UsageError(other.format("a sweep that is running"))
    with contextlib.closing(Ledger(copy.ledger)) as new, contextlib.closing(Ledger(there.ledger)) as old:
        if new.meta.sweep_id != old.meta.sweep_id:
            raise UsageError(other.format("another sweep of this name"))
        known = {(attempt.run_key, attempt.attempt, attempt.started) for attempt in new.attempts()}
        if any((attempt.run_key, attempt.attempt, attempt.started) not in known for attempt in old.attempts()):
            raise UsageError(other.format("this sweep, resumed here"))


def _record(folder: SweepFolder) -> Iterator[tuple[str, Path]]:
    yield LEDGER, folder.ledger
    for name in RECORD:
        if (folder.path / name).exists():
            yield name, folder.path / name


def _all(folder: SweepFolder, with_checkpoints: bool) -> Iterator[tuple[str, Path]]:
    left_out = set() if with_checkpoints else set(_checkpoints(folder))
    for path in sorted(folder.path.rglob("*")):
        name = str(path.relative_to(folder.path))
        beside_database = any(name in (f"{base}-wal", f"{base}-shm", f"{base}-journal") for base in DATABASES)
        passing = beside_database or belongs_to_driver(path.relative_to(folder.path))
        if path.is_file() and not path.is_symlink() and not passing and path not in left_out:
            yield name, path


def _checkpoints(folder: SweepFolder) -> Iterator[Path]:
    for attempt in folder.attempts():
        yield from checkpoints_in(attempt)


def _backup(path: Path, scratch: Path) -> Path:
    copy = scratch / path.name
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy
