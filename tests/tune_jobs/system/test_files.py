import errno
import os
from pathlib import Path

import pytest

from tune_jobs.system.files import is_full, part_of, write_whole


def test_a_file_is_replaced_atomically_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content, stored in (("λ\n", "λ\n".encode()), (b"\xff\r\n", b"\xff\r\n")):
        write_whole(path, content)
        assert path.read_bytes() == stored
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_stays_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \udc00")
    assert path.read_text() == "before"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", "text")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder", path]


def test_two_processes_write_to_separate_temporary_files(tmp_path: Path) -> None:
    assert part_of(tmp_path / "a.db") == tmp_path / f".a.db.{os.getpid()}.partial"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "no room"), True),
        (OSError(errno.EDQUOT, "no room in your share"), True),
        (OSError(errno.EACCES, "no"), False),
        (ValueError("full"), False),
    ],
)
def test_a_full_disk_is_distinguished_from_other_errors(error: Exception, full: bool) -> None:
    assert is_full(error) is full
