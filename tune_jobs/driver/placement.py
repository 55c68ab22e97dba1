"""The machines that a sweep's trials run on: how many trials they have room for, and which are done without."""

import contextlib
import math

from tune_jobs.executors.base import Executor

ROOM_S = 30.0
"""What the machines have room for is asked again this often: some come back late, or join on the way."""


class Placement:
    """By the executor's ids of machines, which reach the driver with the first report of each worker."""

    def __init__(self, executor: Executor) -> None:
        """Know of none yet."""
        self._room = executor.room
        self._time = executor.now
        self._most = 0
        self._ask = -math.inf
        self._shared = False  # whether any saw the sweep's folder
        self._blind: set[str] = set()
        self._no_data: dict[str, set[str]] = {}  # by run_key

    def have_room_beside(self, running: int) -> bool:
        """Whether one more trial may run; the first may in any case, and then waits for a machine."""
        now = self._time()
        if now >= self._ask:
            self._ask = now + ROOM_S
            with contextlib.suppress(Exception):  # Ray's head may not answer in this moment
                self._most = self._room(self._blind)
        return running == 0 or running < self._most

    def any_left(self) -> bool:
        """Whether there is one now that a trial fits on."""
        return self._room(self._blind) > 0

    def avoided(self, run_key: str) -> set[str]:
        """Those that a trial must not run on, and those where its images cannot be read if there are others."""
        better = self._blind | self._no_data.get(run_key, set())
        return better if better and self._room(better) else self._blind

    def saw_folder(self, node: str | None, *, shared: bool) -> bool:
        """Note whether a worker sees the sweep's folder; false where none ever has, so that the folder is wrong."""
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
