"""A Ray cluster of several nodes on this machine, with separate loopback addresses, ports and folders.

The processes are `ray start --block`, so each node ends with the process that started it.
"""

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.faults.driving import MARK, TookTooLong, children, command_line, expect, wait_for
from tests.tune_jobs.program import CONVNN
from tests.tune_jobs.servers import free_port

RAY = str(Path(CONVNN).parent / "ray")
START_S = 120.0
COMMAND_S = 120.0
_numbers = count(10 + 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))  # concurrent test processes


@dataclass(frozen=True)
class Node:
    """A node, and the process that started it."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def raylet(self) -> int:
        """The process id of its raylet."""
        return next(pid for pid in children(self.process.pid) if "raylet/raylet " in command_line(pid))

    @property
    def node_id(self) -> str:
        """Ray's id of the node."""
        words = command_line(self.raylet).split()
        return next(word.partition("=")[2] for word in words if word.startswith("--node_id="))

    def kill(self) -> None:
        """Kill its raylet, which also ends its workers; then kill its other processes."""
        raylet = self.raylet
        others = [*children(raylet), *children(self.process.pid), self.process.pid]
        os.kill(raylet, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        for pid in others:
            self._end(pid)
        self.process.wait(30)

    def stop(self) -> None:
        """Stop it cleanly if it runs, and kill what does not end."""
        if self.process.poll() is None:
            below = [pid for child in children(self.process.pid) for pid in (child, *children(child))]
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            for pid in (*below, self.process.pid):
                self._end(pid)
            self.process.wait(30)

    def _end(self, pid: int) -> None:
        if pid == self.process.pid or "ray" in command_line(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Cluster:
    """The head, with one CPU by default; nodes with one CPU each can be added."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, cpus: int = 1, jobs: bool = False) -> None:
        """Start the head in `folder`, with Ray's job server if `jobs`."""
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        # Ray's dashboard process asks a cloud for machine data (docs/adr/0003); the network refuses that, as it should.
        quiet = {"CONVNN_TEST_EXPECTS_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        path = os.pathsep.join(
            [str(Path(RAY).parent), environment.get("PATH", os.defpath)]
        )  # as in an activated environment
        self.environment = {**environment, **self.token, **quiet, "PATH": path}
        self.mark = Path(environment[MARK])
        self._folder = folder
        self._subnet = next(_numbers)
        self._nodes: list[Node] = []
        self._temporary = Path(tempfile.mkdtemp(prefix="cr-", dir="/tmp"))
        port, host = free_port(), f"127.0.{self._subnet}.1"
        self.address = f"{host}:{port}"
        self.dashboard = f"http://{host}:{(board := free_port())}"
        options = ["--head", f"--node-ip-address={host}", f"--port={port}", f"--temp-dir={self._temporary}"]
        options += [f"--include-dashboard={str(jobs).lower()}"]
        # Our jobs would not use prestarted workers, and nothing reads the metrics or scales the cluster.
        options += ['--system-config={"prestart_worker_first_driver":false,"enable_metrics_collection":false}']
        options += ["--no-monitor"]
        options += [f"--dashboard-host={host}", f"--dashboard-port={board}"]
        try:
            self._start(options, cpus)
        except BaseException:
            self.close()
            raise

    def add_node(self, *before: str, machine: int | None = None, **environment: str) -> Node:
        """Add a node that acts as another machine; `before` is a command prefix, `environment` its other variables.

        A node that returns has the number of its earlier `machine`, and so the same address.
        """
        host = f"127.0.{self._subnet}.{(machine or len(self._nodes)) + 1}"
        return self._start([f"--address={self.address}", f"--node-ip-address={host}"], 1, before, environment)

    def apart(self, *places: Path) -> tuple[str, ...]:
        """Return a command prefix that gives a node separate `places`, and a separate folder for uploaded packages.

        Nodes of one machine share the folder of Ray's session, where each replaces the packages unpacked by another.
        """
        own = (self._temporary / "session_latest" / "runtime_resources", *places)
        mounts = " && ".join(f"mount -t tmpfs none {shlex.quote(str(place))}" for place in own)
        return ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")

    def drain(self, node: Node) -> None:
        """Announce that a node will be preempted, as a cloud does."""
        reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a test takes it away"]
        self.ray("drain-node", "--address", self.address, "--node-id", node.node_id, *reason)

    def ray(self, *arguments: str, **more: str) -> str:
        """Run a Ray command to its end."""
        try:
            done = subprocess.run(
                [RAY, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_S,
                check=False,
                env={**self.environment, **more},
            )
        except subprocess.TimeoutExpired as late:
            raise TookTooLong(f"`ray {' '.join(arguments)}` still runs after {COMMAND_S:g} s") from late
        said, code = done.stdout, done.returncode
        expect(code == 0, f"`ray {' '.join(arguments)}` ended with {code}:\n{said[-2000:]}")
        return said

    def _start(
        self, options: list[str], cpus: int, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> Node:
        log = self._folder / f"node-{len(self._nodes)}.txt"
        options = [*options, f"--dashboard-agent-listen-port={free_port()}"]
        fixed = ["--block", f"--num-cpus={cpus}", f"--object-store-memory={100 * 2**20}", "--disable-usage-stats"]
        fixed += ["--include-log-monitor=false"]  # our drivers do not print the logs of workers
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*before, RAY, "start", *options, *fixed],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,
            )
        node = Node(process, log)
        self._nodes.append(node)
        try:
            wait_for(lambda: self._up(node), f"a Ray node starts; see {log}", START_S, 0.1)
        except TookTooLong:  # it may still start, with an address that the next attempt uses
            node.stop()
            raise
        return node

    @staticmethod
    def _up(node: Node) -> bool:
        said = node.log.read_text(errors="replace")
        expect(node.process.poll() is None, f"a Ray node did not start:\n{said[-2000:]}")
        return "Ray runtime started" in said

    def close(self) -> None:
        """Stop the nodes, the head last."""
        for node in reversed(self._nodes):
            node.stop()
        shutil.rmtree(self._temporary, ignore_errors=True)


@contextlib.contextmanager
def cluster(folder: Path, environment: Mapping[str, str], *, cpus: int = 1, jobs: bool = False) -> Iterator[Cluster]:
    """Start a cluster; it is stopped at the end."""
    made = Cluster(folder, environment, cpus=cpus, jobs=jobs)
    try:
        yield made
    finally:
        made.close()
