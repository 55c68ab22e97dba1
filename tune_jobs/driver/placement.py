"""The machines that a sweep's trials run on: how many trials fit, and which machines are excluded."""

import contextlib
import math

from tune_jobs.executors.base import Executor

ROOM_S = 30.0
"""Seconds after which the driver asks again how many trials fit: machines may return or join late."""


class Placement:
    """Identifies machines by the executor's ids, which the driver receives with each worker's first report."""

    def __init__(self, executor: Executor) -> None:
        """Start without knowledge of any machine."""
        self._room = executor.room
        self._time = executor.now
        self._most = 0
        self._ask = -math.inf
        self._shared = False  # whether any machine has seen the sweep folder
        self._blind: set[str] = set()
        self._no_data: dict[str, set[str]] = {}  # by run_key

    def have_room_beside(self, running: int) -> bool:
        """Whether one more trial may start. The first one always may, and then waits for a machine."""
        now = self._time()
        if now >= self._ask:
            self._ask = now + ROOM_S
            with contextlib.suppress(Exception):  # the Ray head node may not answer at the moment
                self._most = self._room(self._blind)
        return running == 0 or running < self._most

    def any_left(self) -> bool:
        """Whether a trial fits on any machine now."""
        return self._room(self._blind) > 0

    def avoided(self, run_key: str) -> set[str]:
        """Return the machines to avoid for a trial.

        These are the machines that cannot see the sweep folder. Those that could not read the trial's images are
        avoided too, as long as others remain.
        """
        better = self._blind | self._no_data.get(run_key, set())
        return better if better and self._room(better) else self._blind

    def saw_folder(self, node: str | None, *, shared: bool) -> bool:
        """Note whether a worker sees the sweep folder. Return false if no worker ever has: then the folder is wrong."""
        self._shared = self._shared or shared
        if shared:
            return True
        if not self._shared or node is None:
            return False
        self._blind.add(node)
        self._ask = -math.inf
        return True

    def lacked_data(self, node: str | None, run_key: str) -> None:
        """Note that a trial's images could not be read on a machine."""
        if node is not None:
            self._no_data.setdefault(run_key, set()).add(node)
