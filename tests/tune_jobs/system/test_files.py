import errno
import os
from pathlib import Path

import pytest

from tune_jobs.system.files import is_full, part_of, write_whole


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for content, stored in (("λ\n", "λ\n".encode()), (b"\xff\r\n", b"\xff\r\n")):
        write_whole(path, content)
        assert path.read_bytes() == stored
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \udc00")
    assert path.read_text() == "before"
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", "text")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder", path]


def test_two_processes_write_to_places_of_their_own(tmp_path: Path) -> None:
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
def test_a_full_disk_is_told_from_other_trouble(error: Exception, full: bool) -> None:
    assert is_full(error) is full
