"""What a job of ours runs, on the cluster: `python -m tune_jobs.cluster.entry`, in the folder of its package.

Its arguments come from `task.json`: nothing that a person typed passes through the shell that starts a job. A task has
a kind:

command   a `convnn` command, whose output is the job's log: run, resume, retry, extend
ask       a `convnn` command, whose answer is sent back through the log
copy      files of a sweep's folder, sent back through the log
probe     what the cluster has
"""

import atexit
import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tune_jobs.cluster.package import TASK
from tune_jobs.cluster.reply import send_bytes, send_error
from tune_jobs.errors import SweepError
from tune_jobs.scratch import scratch_folder
from tune_jobs.storage import SUBMISSION


def main() -> int:
    """Do the task in the current folder; the exit code."""
    place = _own_copy() / TASK
    task: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    os.environ.update(task.get("environment", {}))
    os.environ[SUBMISSION] = str(place)
    if task["kind"] == "command":
        return _command(task["arguments"])
    try:
        _answer(task)
    except SweepError as error:
        send_error(error)
    return 0


def _own_copy() -> Path:
    """Go on in a copy of the current folder, which Ray may remove before the job has ended."""
    shipped = Path.cwd().resolve()
    place = scratch_folder("job")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    shutil.copytree(shipped, place, dirs_exist_ok=True)
    os.chdir(place)
    sys.path[:] = [str(place) if Path(entry).resolve() == shipped else entry for entry in sys.path]
    return place


def _answer(task: dict[str, Any]) -> None:
    if task["kind"] == "ask":
        send_bytes(_ask(task["arguments"]))
    elif task["kind"] == "copy":
        from tune_jobs.cluster.copies import send_copy

        send_copy(task)
    else:
        from tune_jobs.cluster.probe import probe

        send_bytes(json.dumps(probe(task)).encode())


def _command(arguments: list[str]) -> int:
    from tune_jobs.cli import app

    sys.argv = ["convnn", *arguments]
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _ask(arguments: list[str]) -> bytes:
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = _command(arguments)
    return json.dumps({"code": code, "out": out.getvalue(), "err": errors.getvalue()}).encode()


if __name__ == "__main__":
    sys.exit(main())
