"""A separate PostgreSQL server: Debian's programs, a new folder, a free port, an unprivileged user."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy

from tests.tune_jobs.servers import free_port

USER = "convnn"
START_S = 60


def programs() -> Path:
    """Return the folder of the newest server's programs.

    Raises:
        FileNotFoundError: If no server is installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parents[1].name))
    if not found:
        raise FileNotFoundError("PostgreSQL's server is not installed: apt-get install postgresql")
    return found[-1].parent


class Postgres:
    """A server in `folder`, which its user must be able to enter; it can be killed and restarted."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._password = secrets.token_hex()
        self._user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self._process: subprocess.Popen[bytes] | None = None
        secret = folder / "password"
        secret.write_text(self._password)
        if self._user:
            account = pwd.getpwnam(self._user)
            for place in (folder, secret):
                os.chown(place, account.pw_uid, account.pw_gid)
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}", "--encoding=UTF8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), "--locale=C.UTF-8", *options).wait(START_S)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        self._process = self._run("postgres", "-D", str(self._data), *options)
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(sqlalchemy.exc.OperationalError):
                self.version()
                return
            assert self._process.poll() is None, f"PostgreSQL ended:\n{self.log}"
            assert time.monotonic() < deadline, f"PostgreSQL does not answer:\n{self.log}"
            time.sleep(0.1)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it with a signal; its child processes end, too."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def database(self, name: str) -> str:
        """Create an empty database; return its address.

        The address names the installed driver: for SQLAlchemy 2.1, plain `postgresql:` means psycopg 3.
        """
        with self._connection() as connection:
            connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
        return self._address(name)

    def version(self) -> str:
        """Return the server's version."""
        with self._connection() as connection:
            return str(connection.execute(sqlalchemy.text("SHOW server_version")).scalar_one())

    @property
    def log(self) -> str:
        """Return the server's log."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _address(self, database: str) -> str:
        return f"postgresql+psycopg2://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlalchemy.Connection]:
        engine = sqlalchemy.create_engine(
            self._address("postgres"), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            yield connection

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [programs() / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
            )


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server that answers."""
    folder = Path(tempfile.mkdtemp(prefix="convnn-postgres-"))  # only root can enter pytest's folders
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGINT)  # "fast": it ends the connections
        shutil.rmtree(folder)
