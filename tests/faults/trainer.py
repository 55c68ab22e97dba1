"""The process that trains the undisturbed sweeps, so that its start is paid once."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.faults.driving import OFFLINE, expect, wait_for

OUTPUT, ENDED = "output.txt", "ended"
LOOKS_S = 0.2


class Trainer:
    """Trains sweeps one after another; it is started with the first one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self._one = threading.Lock()
        self._closed = False

    def train(self, file: Path, storage: Path, within_s: float) -> None:
        """Train the sweep of `file` to its end."""
        with self._one:
            process = self._running()
            assert process.stdin is not None
            process.stdin.write(f"{file}\t{storage}\n")
            process.stdin.flush()
            ended, output = storage / ENDED, storage / OUTPUT
            try:
                wait_for(lambda: ended.exists() or process.poll() is not None, f"{file} is trained", within_s, LOOKS_S)
            finally:
                if not ended.exists():
                    self._end()
            said = output.read_text() if output.exists() else ""
            expect(ended.exists(), f"the undisturbed sweep failed:\n{said[-3000:]}")

    def _running(self) -> "subprocess.Popen[str]":
        expect(not self._closed, "the trainer is closed")
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "tests.faults.alone"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, text=True, env=self._environment, cwd=OFFLINE.parents[1]
            )
        return self._process

    def close(self) -> None:
        """End the process, and start no other."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
