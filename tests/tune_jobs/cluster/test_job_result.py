import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.cluster.catalog import SILENCE_S
from tune_jobs.cluster.job_result import KEPT_S, PART_BYTES, Receiver, Sender
from tune_jobs.errors import ClusterError, UsageError

LINES = st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20), max_size=5)


def log_of(content: bytes, before: list[str], between: list[str]) -> str:
    """Return a job's log with a result among other lines."""
    out = io.StringIO()
    out.writelines(f"{line}\n" for line in before)
    sender = Sender(out)
    for start in range(0, len(content), 1000):
        sender.write(content[start : start + 1000])
        out.writelines(f"{line}\n" for line in between)
    sender.end()
    return out.getvalue()


@given(st.binary(max_size=3 * PART_BYTES), LINES, LINES, st.integers(1, 5000))
def test_a_result_survives_a_log_with_other_lines_in_pieces_of_any_size(
    content: bytes, before: list[str], between: list[str], piece: int
) -> None:
    log = log_of(content, before, between)
    into = io.BytesIO()
    receiver = Receiver(into, "head")
    for start in range(0, len(log), piece):
        receiver.take(log[start : start + piece])
    assert receiver.whole
    assert into.getvalue() == content
    assert [line for line in receiver.other if line] == [
        line for line in [*before, *between * -(-len(content) // 1000)] if line
    ]


def test_a_truncated_result_is_incomplete() -> None:
    log = log_of(bytes(5000), [], [])
    receiver = Receiver(io.BytesIO(), "head")
    receiver.take(log[: -len(log) // 3])
    assert not receiver.whole


def test_a_result_with_a_missing_part_is_damaged() -> None:
    _, *rest = log_of(bytes(range(250)) * 20, [], []).splitlines(keepends=True)
    with pytest.raises(ClusterError, match="damaged"):
        Receiver(io.BytesIO(), "head").take("".join(rest))


def test_an_error_of_the_job_is_raised_here() -> None:
    out = io.StringIO()
    Sender(out).fail(UsageError("there is no sweep 'x'"))
    with pytest.raises(UsageError, match="there is no sweep 'x'"):
        Receiver(io.BytesIO(), "head").take(out.getvalue())


def test_rays_log_stream_sends_a_line_of_a_result_as_a_whole() -> None:
    out = io.StringIO()
    Sender(out).write(bytes(3 * PART_BYTES))
    assert max(map(len, out.getvalue().splitlines())) < 20_000


def test_old_results_are_removed_unless_they_are_being_read(tmp_path: Path) -> None:
    result, times = log_of(b"an answer", ["Running entrypoint"], []), (0, 0)
    logs = {name: tmp_path / f"job-driver-{name}.log" for name in ("old", "read", "new", "of a sweep", "own")}
    for log in logs.values():
        log.write_text("trial 1 started\n" if log == logs["of a sweep"] else result)
        os.utime(log, None if log == logs["new"] else times)
    with logs["own"].open("w") as out, logs["read"].open() as reader:
        reader.readline()
        subprocess.run(
            [sys.executable, "-c", "from tune_jobs.cluster.job_result import clear_results; clear_results()"],
            stdout=out,
            check=True,
        )
    assert {name for name, log in logs.items() if not log.exists()} == {"old"}


def test_a_result_is_kept_for_longer_than_a_follower_waits() -> None:
    assert KEPT_S > SILENCE_S
