"""The upload for a job: a .zip with its task, the sweep's file, and this package's code unless the cluster has it.

Equal content gives an equal file, so Ray does not upload it twice.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tune_jobs.errors import UsageError
from tune_jobs.system.files import size_text
from tune_jobs.system.packages import DISTRIBUTION

UPLOAD_BYTES = 100 * 2**20
"""The maximum size of a request to Ray's dashboard."""

TASK = "task.json"
SWEEP = "sweep.yaml"
PACKAGES = ("convnn", "search_spaces", "tune_jobs")
_KINDS = frozenset({".py", ".yaml", ".typed", ".css", ".html", ".js", ".json", ".parquet", ".LICENSE"})
_NAMED = 5
_BEGINNING_OF_ZIP = (1980, 1, 1, 0, 0, 0)


def code_files(place: Path | None = None) -> dict[str, Path]:
    """Return the files of our packages, by their path relative to `place`, the folder that contains the packages."""
    home = place or Path(__file__).resolve().parents[2]
    return {
        str(path.relative_to(home)): path
        for package in PACKAGES
        for path in sorted((home / package).rglob("*"))
        if path.suffix in _KINDS and path.is_file()
    }


def code_digest(place: Path | None = None) -> str:
    """Return a digest of the code; equal code gives an equal digest."""
    digest = hashlib.sha256()
    for name, path in code_files(place).items():
        digest.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def write_package(path: Path, task: Mapping[str, Any], *, sweep: str | None = None, code: bool = True) -> int:
    """Write the .zip to `path`; return its size in bytes.

    Args:
        path: The file to write.
        task: What `tune_jobs.cli.cluster_job` reads.
        sweep: The sweep's file, for tasks that have one.
        code: Whether to include our code.

    Raises:
        UsageError: If it is larger than the cluster accepts; the message names the biggest files.
    """
    contents: dict[str, bytes] = {TASK: json.dumps(task, indent=2).encode()}
    if sweep is not None:
        contents[SWEEP] = sweep.encode()
    if code:
        contents |= dict(_code())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name, _BEGINNING_OF_ZIP), content, zipfile.ZIP_DEFLATED)
        largest = sorted(archive.infolist(), key=lambda info: info.compress_size, reverse=True)[:_NAMED]
    size = path.stat().st_size
    if size > UPLOAD_BYTES:
        named = ", ".join(f"{info.filename} ({size_text(info.compress_size)})" for info in largest)
        raise UsageError(
            f"the cluster accepts uploads of at most {size_text(UPLOAD_BYTES)}, but this one has {size_text(size)}; "
            f"the biggest files are {named}. Move files that are not code out of these folders."
        )
    return size


def _code() -> Iterator[tuple[str, bytes]]:
    for name, path in code_files().items():
        yield name, path.read_bytes()
    try:  # `importlib.metadata` finds it next to the code
        metadata = distribution(DISTRIBUTION).read_text("METADATA") or ""
    except PackageNotFoundError:
        return
    yield f"{DISTRIBUTION.replace('-', '_')}.dist-info/METADATA", metadata.encode()
