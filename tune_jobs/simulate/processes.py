"""Does the same work on many items with several processes; the results do not depend on their number."""

import contextlib
import multiprocessing
import pickle
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 8
"""Maximum number of processes, to limit memory: each needs about 200 MB for the table and its imports."""

PAYS_S = 4.0
"""Other processes start only if the remaining work takes more seconds than this; a start takes a second or two."""

_AHEAD = 2
"""Number of items that a process holds, so that it never waits for this process."""


def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    told: Callable[[int], None] = lambda _: None,
    pays_s: float = PAYS_S,
) -> list[Result]:
    """Return the result of `work` for each item, in order.

    Args:
        work: The function; it is pickled if other processes start.
        items: The items. This process works on them alone until starting others is worthwhile.
        processes: Maximum number of processes, including this one.
        told: Called with the number of results, after each one.
        pays_s: See `PAYS_S`.
    """
    results: dict[int, Result] = {}
    left = deque(enumerate(items))
    begun = time.monotonic()

    def keep(number: int, result: Result) -> None:
        results[number] = result
        told(len(results))

    def work_here() -> None:
        number, item = left.popleft()
        keep(number, work(item))

    while left:
        work_here()
        if processes > 1 and len(left) * (time.monotonic() - begun) / len(results) > pays_s:
            break
    with _started(work, min(processes, MOST, len(left)) - 1) as helpers:
        given = {helper: dict(_give(helper, left) for _ in range(min(_AHEAD, len(left)))) for helper in helpers}
        while left or any(given.values()):
            for number, result in _received(given, left, wait_for_one=not left):
                keep(number, result)
            if left:
                work_here()
    return [results[number] for number in range(len(items))]


_Given = dict[Connection, dict[int, Any]]
"""The items that each process holds, by number."""


def _received(given: _Given, left: deque[tuple[int, Any]], *, wait_for_one: bool) -> Iterator[tuple[int, Any]]:
    """Yield available results, and give each sender its next item; the items of a dead process go back to the queue."""
    for helper in wait(list(given), timeout=None if wait_for_one else 0):
        assert isinstance(helper, Connection)
        try:
            number, result = helper.recv()
        except (EOFError, OSError):  # it was killed
            left.extendleft(given.pop(helper).items())
            continue
        if isinstance(result, Exception):
            raise result
        del given[helper][number]
        if left:
            given[helper].update([_give(helper, left)])
        yield number, result


def _give(helper: Connection, left: deque[tuple[int, Item]]) -> tuple[int, Item]:
    task = left.popleft()
    with contextlib.suppress(OSError):  # it was killed; `_received` notices that
        helper.send(task)
    return task


@contextlib.contextmanager
def _started(work: Callable[[Any], Any], count: int) -> Iterator[list[Connection]]:
    """Start this number of processes, which wait for items; kill them at the end."""
    if count < 1:
        yield []
        return
    context = multiprocessing.get_context("spawn")  # library threads may hold locks, which a fork would copy
    processes, helpers = [], []
    with tempfile.TemporaryDirectory(prefix="convnn-simulate-") as folder:
        file = Path(folder) / "work"  # writing to a pipe would block until they have started
        file.write_bytes(pickle.dumps(work))
        try:
            with _uninterrupted():
                for _ in range(count):
                    ours, theirs = context.Pipe()
                    processes.append(context.Process(target=_help, args=(theirs, str(file)), daemon=True))
                    processes[-1].start()
                    theirs.close()
                    helpers.append(ours)
            yield helpers
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.join()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Make processes started here ignore Ctrl-C, which a terminal sends to all of them: this process ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _help(asked: Connection, file: str) -> None:
    with contextlib.suppress(EOFError, OSError):  # the parent process is gone
        work = pickle.loads(Path(file).read_bytes())  # noqa: S301 - written by the parent process
        while True:
            number, item = asked.recv()
            try:
                result = work(item)
            except Exception as error:  # noqa: BLE001 - it is sent to the parent
                result = error
            asked.send((number, result))
