"""The program of our jobs on a cluster: `python -m tune_jobs.cli.cluster_job`, in the folder of its package.

Its arguments come from `task.json`, so nothing that a user typed passes through the shell that starts a job. The kinds
of task:

command   a `convnn` command whose output is the job's log, such as run, resume, retry, extend
ask       a `convnn` command whose answer is sent back through the log
copy      files of a sweep's folder, sent back through the log
probe     versions, resources and storage of the cluster, sent back through the log
"""

import atexit
import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

from tune_jobs.errors import SweepError, UsageError
from tune_jobs.system.scratch import scratch_folder

_COPY = "CONVNN_JOB_COPY"
_OF_THE_LAPTOP = ("CONVNN_ADDRESS", "RAY_API_SERVER_ADDRESS")


def main() -> int:
    """Run the task in the current folder, and return the exit code."""
    copy = os.environ.pop(_COPY, None) or _restart_in_a_copy()
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    # Not before the restart, which would import everything twice.
    from tune_jobs.cluster.job_result import send_error
    from tune_jobs.cluster.package import TASK
    from tune_jobs.record.manifest import SUBMISSION

    place = Path(copy) / TASK
    task: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    os.environ.update(task.get("environment", {}))
    os.environ[SUBMISSION] = str(place)
    for name in _OF_THE_LAPTOP:  # if the head has them too, this job would contact itself
        os.environ.pop(name, None)
    try:
        _require_absolute(os.environ.get("CONVNN_STORAGE"))
        if task["kind"] == "command":
            return _command(task["arguments"])
        _answer(task)
    except SweepError as error:
        if task["kind"] == "command":
            print(f"convnn: {error}", file=sys.stderr)
            return error.exit_code
        send_error(error)
    return 0


def _restart_in_a_copy() -> NoReturn:
    """Restart in a copy of the current folder, which Ray may replace while the job runs."""
    place = scratch_folder("job", kept_by_exec=True)
    shutil.copytree(Path.cwd(), place, dirs_exist_ok=True)
    shipped = Path.cwd().resolve()
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    kept = [path for path in paths if Path(path).resolve() != shipped]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(place), *kept])
    os.environ[_COPY] = str(place)
    os.chdir(place)
    os.execv(sys.executable, [sys.executable, "-m", "tune_jobs.cli.cluster_job"])  # noqa: S606 - this very program


def _require_absolute(storage: str | None) -> None:
    if storage and not Path(os.path.expandvars(storage)).expanduser().is_absolute():
        raise UsageError(f"CONVNN_STORAGE on the cluster must be an absolute path, got {storage!r}; correct it there.")


def _answer(task: dict[str, Any]) -> None:
    from tune_jobs.cluster.job_result import clear_results, send_bytes

    clear_results()
    if task["kind"] == "ask":
        send_bytes(_ask(task["arguments"]))
    elif task["kind"] == "copy":
        from tune_jobs.cluster.transfer import send_copy

        send_copy(task)
    else:
        from tune_jobs.cluster.probe import probe

        send_bytes(json.dumps(probe(task)).encode())


def _command(arguments: list[str]) -> int:
    from tune_jobs.cli.app import app

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
