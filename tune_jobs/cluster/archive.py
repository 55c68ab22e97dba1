"""Archives from a cluster: only regular files below one folder are written."""

import contextlib
import gzip
import shutil
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tune_jobs.cluster.gate import malformed, plain_line, shown
from tune_jobs.record.names import belongs_to_driver

MOST_FILES = 500_000
"""Maximum number of files in a copy."""

LONGEST_PATH = 1000
"""Maximum length of a file's path in a copy, in characters."""

_HEADER_BYTES = 2**20
_GROWTH, _SMALL = 200, 64 * 2**20  # databases and logs compress to a tenth, few files to a hundredth


def room(folder: Path) -> int:
    """Return the bytes that a cluster may send to a folder: the free space minus one GB."""
    return max(0, shutil.disk_usage(folder).free - 10**9)


def unpack(archive: Path, into: Path, source: str) -> None:
    """Unpack a compressed tar of regular files into `into`, which must not exist; it is removed after a refusal.

    Refused are absolute paths, `..`, links, devices, overlong names, files that only a running sweep has, more than
    `MOST_FILES` files, and more bytes than are free or than an honest archive of this size can hold.

    Raises:
        ClusterError: If the archive is refused or damaged.
        OSError: If the disk is full, or access is denied.
    """
    largest = min(room(archive.parent), _SMALL + _GROWTH * archive.stat().st_size)
    into.mkdir(parents=True)
    try:
        with gzip.open(archive) as content, _damage_said(source):
            _extract(_Measured(content, source), into, source, largest)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


@contextlib.contextmanager
def _damage_said(source: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise malformed(source, f"a damaged archive ({plain_line(str(error))[:100]})") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise malformed(source, "an archive in which the same path is a file and a folder") from error


class _Measured:
    """A stream with a read limit that can be raised, since tar headers, too, can expand to any size."""

    def __init__(self, content: gzip.GzipFile, source: str) -> None:
        self._content = content
        self._source = source
        self._left = _HEADER_BYTES

    def allow(self, size: int) -> None:
        self._left = size + _HEADER_BYTES

    def read(self, size: int) -> bytes:
        found = self._content.read(size)
        self._left -= len(found)
        if self._left < 0:
            raise malformed(self._source, "an archive with an oversized header")
        return found


def _extract(stream: _Measured, into: Path, source: str, largest: int) -> None:
    total = files = 0
    tar: Any = stream  # tarfile uses only `read`
    with tarfile.open(fileobj=tar, mode="r|") as archive:
        while (member := archive.next()) is not None:
            if wrong := _wrong_with(member):
                raise malformed(source, f"an archive with {shown(member.name)}, {wrong}")
            files, total = files + 1, total + member.size
            if files > MOST_FILES:
                raise malformed(source, f"an archive of more than {MOST_FILES:,} files")
            if total > largest:
                raise malformed(source, f"an archive that unpacks to more than the {largest:,} bytes allowed here")
            stream.allow(member.size)
            archive.extract(member, into, filter="data")
            archive.members.clear()  # type: ignore[attr-defined]  # frees memory, since there may be many


def _wrong_with(member: tarfile.TarInfo) -> str | None:
    parts = member.name.split("/")
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse() or member.size < 0:
        return "which is not a regular file"
    if len(member.name) > LONGEST_PATH or any(len(part.encode(errors="replace")) > 255 for part in parts):  # noqa: PLR2004
        return "whose name is too long"
    if any(part in ("", ".", "..") for part in parts):
        return "whose path leads outside its folder"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in member.name):
        return "whose name has control characters"
    return "which only a running sweep has" if belongs_to_driver(PurePosixPath(member.name)) else None
