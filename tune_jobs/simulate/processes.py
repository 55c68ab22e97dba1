"""The same work on many items, by this process and others beside it: what comes out does not depend on how many."""

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
"""Processes, so that memory stays moderate: each holds the table and what it imports, about 200 MB."""

PAYS_S = 4.0
"""Work that is left, in seconds, below which no process is started: that takes a second or two."""

_AHEAD = 2
"""Items that a process has at a time, so that it never waits for this one."""


def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    processes: int,
    told: Callable[[int], None] = lambda _: None,
    pays_s: float = PAYS_S,
) -> list[Result]:
    """The result of `work` for each item, in order.

    Args:
        work: Is pickled where other processes are started.
        items: One after another, as long as the others are not worth their start.
        processes: At most so many, this one included.
        told: Is given the number of results, after each.
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
"""By process, the items that it has, by number."""


def _received(given: _Given, left: deque[tuple[int, Any]], *, wait_for_one: bool) -> Iterator[tuple[int, Any]]:
    """The results that are there; who has sent one is given the next item, and what a dead process had is left."""
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
    with contextlib.suppress(OSError):  # it was killed, which is seen when it is waited for
        helper.send(task)
    return task


@contextlib.contextmanager
def _started(work: Callable[[Any], Any], count: int) -> Iterator[list[Connection]]:
    """So many processes that wait for items; they are killed in the end."""
    if count < 1:
        yield []
        return
    context = multiprocessing.get_context("spawn")  # threads of the libraries may hold locks, which a fork would keep
    processes, helpers = [], []
    with tempfile.TemporaryDirectory(prefix="convnn-simulate-") as folder:
        file = Path(folder) / "work"  # a pipe would have to wait until they have started
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
    """What is started here is not ended by Ctrl-C, which goes to every process of a terminal: this one ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _help(asked: Connection, file: str) -> None:
    with contextlib.suppress(EOFError, OSError):  # who asks is gone
        work = pickle.loads(Path(file).read_bytes())  # noqa: S301 - our own
        while True:
            number, item = asked.recv()
            try:
                result = work(item)
            except Exception as error:  # noqa: BLE001 - it is told
                result = error
            asked.send((number, result))
