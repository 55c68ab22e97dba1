"""A Slurm cluster of one node on this machine: Debian's programs, separate folders and ports."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.tune_jobs.servers import free_port

START_S = 60.0
END_S = 240.0

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,requeue_delay=1
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE OverTimeLimit=0 State=UP
"""


class Slurm:
    """The controller, the node's daemon, and the authentication service; all run as root."""

    def __init__(self, folder: Path) -> None:
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        host = socket.gethostname().partition(".")[0]
        ports = {"controller": free_port(), "daemon": free_port()}
        content = CONFIGURATION.format(host=host, folder=folder, cpus=os.cpu_count(), **ports)
        (folder / "slurm.conf").write_text(content)

    def start(self) -> None:
        """Start them, and wait until the node is idle."""
        key = self._folder / "munge.key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o400)
        for name in ("state", "spool"):
            (self._folder / name).mkdir()
        places = {"key-file": key, "socket": self._folder / "munge.socket"}
        places |= {name: self._folder / name for name in ("pid-file", "log-file", "seed-file")}
        self._start("munged", "--foreground", "--force", *(f"--{name}={place}" for name, place in places.items()))
        self._wait("munged listens", (self._folder / "munge.socket").exists)
        self._start("slurmctld", "-D", "-c")
        self._start("slurmd", "-D")
        self._wait("the node is idle", lambda: "idle" in self("sinfo", "--noheader", "--format=%t", check=False))

    def __call__(self, *command: str, check: bool = True, **environment: str) -> str:
        """Return the output of a Slurm command."""
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_S,
            check=False,
            env={**os.environ, **self.environment, **environment},
        )
        assert done.returncode == 0 or not check, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def submit(self, script: Path, *options: str, **environment: str) -> str:
        """Submit a batch script; return its job id."""
        return self("sbatch", "--parsable", *options, str(script), check=True, **environment).strip()

    def field(self, job: str, name: str) -> str:
        """Return a field of a job, such as JobState, ExitCode or Restarts."""
        words = self("scontrol", "--oneliner", "show", "job", job).split()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{name}="))

    def wait(self, job: str, *states: str) -> None:
        """Wait until a job is in one of these states."""
        self._wait(f"job {job} is {' or '.join(states)}", lambda: self.field(job, "JobState") in states, END_S)

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.txt").open("wb") as log:
            process = subprocess.Popen(
                [f"/usr/sbin/{command[0]}", *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        self._processes.append(process)

    def _wait(self, what: str, condition: Callable[[], object], timeout_s: float = START_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self._folder.glob("*.txt"))
            assert time.monotonic() < deadline, f"not in {timeout_s:g} s: {what}\n{logs}"
            time.sleep(0.2)

    def close(self) -> None:
        """Stop them in reverse order."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


@contextlib.contextmanager
def slurm() -> Iterator[Slurm]:
    """Start a cluster; it is stopped at the end."""
    folder = Path(
        tempfile.mkdtemp(prefix="convnn-slurm-", dir="/tmp")
    )  # munge refuses a folder that others can write to
    folder.chmod(0o755)
    cluster = Slurm(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
