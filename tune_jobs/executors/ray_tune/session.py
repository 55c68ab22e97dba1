"""A connection to a Ray cluster, or a local Ray for this machine only."""

import atexit
import contextlib
import gc
import logging
import os
import queue
import secrets
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from tune_jobs.errors import ClusterError, RayError
from tune_jobs.system.cpus import usable_cpus
from tune_jobs.system.scratch import LONGEST_FOR_SOCKETS, place_of_sockets, socket_folder
from tune_jobs.system.signals import Interrupted, Signals

Found = TypeVar("Found")

OBJECT_STORE_BYTES = 100 * 2**20
"""Size of Ray's object store. Trials read images from a memory map, not through Ray, whose default is 30% of memory."""

NO_PORT = "-1"
"""Port of an unwanted Ray server: it cannot listen there, and Ray continues without it (docs/adr/0003)."""

LOOKS_S = 0.2
"""Interval of the checks whether Ray has died."""

SIGNAL_S = 0.5
"""A signal that ended Ray's processes reaches the driver within this time."""

REACH_S = 10.0
"""How long a cluster may take to accept a connection."""

_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else a call to Ray after its end starts a new Ray
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative path means the same in a worker as in the driver
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # log lines of raylets, which Ray prints on standard output
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # no stack dump at a SIGTERM
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Tune itself restarts the attempt from epoch 0
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a trial without a GPU leaves CUDA_VISIBLE_DEVICES alone
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # Tune's experiment state grows with every trial and is never restored
    "TUNE_FORCE_TRIAL_CLEANUP_S": "20",  # a worker that hangs is killed after this
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@contextlib.contextmanager
def ray_session(address: str | None, signals: Signals, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Connect to the cluster at `address`, or start a local Ray on this machine if that is `None`.

    Args:
        address: Address of the cluster.
        signals: The signals of the run.
        say: Called with a message before each step that takes seconds.

    Raises:
        ClusterError: If Ray cannot be started or reached.
    """
    if address is not None:
        _require_listener(address)
    _set_environment(alone=address is None)
    with contextlib.nullcontext() if address else _folder() as folder:
        say("loading Ray ...")
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)  # in a notebook it asks for ipywidgets
        import ray

        say("connecting to Ray ..." if address else "starting Ray ...")
        threading.Thread(target=_load_ahead, name="load-ahead", daemon=True).start()
        try:
            with socket.create_server(("127.0.0.1", 0)) as held, _without_watchers():
                port = held.getsockname()[1]
                ray.init(**(_options_here(folder, port) if folder else _options_there(str(address))))
            for name in ("ray", "ray.tune"):  # the driver reports lost workers
                logging.getLogger(name).setLevel(logging.CRITICAL)
        except SystemExit as error:  # Ray's own handler of SIGTERM, which ray.init installs
            raise Interrupted(signal.SIGTERM, at_once=False) from error
        except Exception as error:
            if signals.received:  # the signal may have ended Ray's own processes
                raise Interrupted(signals.received[0], at_once=False) from error
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            alone = f"Ray cannot be started here: {reason}; check that {folder} has disk space and that memory is free."
            raise ClusterError(_unreachable(address, reason)) if address else RayError(alone) from error
        signals.take()  # Ray had replaced the handlers
        try:
            yield
        finally:
            _end(signals)


def _end(signals: Signals) -> None:
    """End Ray's processes without ending this process.

    Ray's library ends this process with exit code 1 if an object of Ray is released while Ray shuts down. Tune leaves
    such objects in reference cycles, which any thread may collect at any time. So they are collected before the
    shutdown, and garbage collection is off during it.
    """
    import ray

    collects = gc.isenabled()
    gc.disable()
    try:
        if signals.twice:  # Tune may still be working
            _kill_all()
        else:
            gc.collect()
            answer(ray.shutdown, signals)
    except RayError:  # the remaining processes would wait for the dead ones
        _kill_all()
    finally:
        if collects:
            gc.enable()


def _kill_all() -> None:
    """Kill the processes of the local Ray without a clean shutdown; this process ends next."""
    import ray

    atexit.unregister(ray.shutdown)
    with contextlib.suppress(Exception):
        ray._private.worker._global_node.kill_all_processes(check_alive=False, allow_graceful=False)  # noqa: SLF001


def _load_ahead() -> None:
    """Import pandas, the largest part of Ray Tune's import, while Ray's processes start. Tune meets any error again."""
    with contextlib.suppress(Exception):
        import_module("pandas")


@contextlib.contextmanager
def _without_watchers() -> Iterator[None]:
    """Start Ray without its autoscaler and its log monitor (docs/adr/0003).

    `ray start` has options for this (--no-monitor, --include-log-monitor), but ray.init has none.
    """
    from ray._private.node import Node

    started = {name: getattr(Node, name) for name in _WATCHERS if hasattr(Node, name)}
    for name in started:
        setattr(Node, name, lambda _: None)
    try:
        yield
    finally:
        for name, start in started.items():
            setattr(Node, name, start)


_WATCHERS = ("start_monitor", "start_log_monitor")


def _set_environment(*, alone: bool) -> None:
    """Set the environment variables that Ray reads; values set by the user stay."""
    if alone and "RAY_AUTH_MODE" not in os.environ and "ray" in sys.modules:  # which read them when it was imported
        raise ClusterError(
            "this process imported ray before the sweep started, so its token cannot protect the local Ray; restart "
            "Python and import ray after the sweep, or give ray_address."
        )
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # handled by tune_jobs.system.signals
    if not alone:
        return
    os.environ["AUTOSCALER_METRIC_PORT"] = NO_PORT
    # A Ray that other machines cannot join listens on 127.0.0.1 only. Otherwise it uses the address of a network card,
    # which a laptop may lose while the sweep runs, and listens on every interface (docs/adr/0003).
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        # A separate token for this run: other users of the machine cannot use this Ray, and no token file is left.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make the folder for the sockets and logs of a local Ray. It is kept if Ray's processes died, for its logs."""
    try:
        folder = socket_folder()
    except OSError as error:
        where, reason = place_of_sockets(), error.strerror or error
        raise ClusterError(
            f"Ray cannot be started here: its sockets cannot be placed in {where}: {reason}; set RAY_TMPDIR to a "
            f"folder whose path has at most {LONGEST_FOR_SOCKETS} characters."
        ) from error
    try:
        yield folder
    except RayError as error:
        raise RayError(f"{error} Ray's logs are in {folder}/session_latest/logs.") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def has_died(signals: Signals) -> bool:
    """Whether the local Ray has lost a process that it needs; for a Ray on a cluster, always false.

    After a signal, any dead process counts: the signal reached the others, too, and they will end. But they first wait
    for each other, longer than a user would wait.
    """
    import ray

    node = ray._private.worker._global_node  # noqa: SLF001 - Ray has no public function for this
    try:
        gone = {kind for kind, _ in node.dead_processes()} if node is not None else set()
    except RuntimeError:  # another thread is shutting Ray down and changes the list
        return False
    return bool(gone & _NEEDED) or bool(gone and signals.received)


_NEEDED = {"gcs_server", "raylet"}


def answer(call: Callable[[], Found], signals: Signals) -> Found:
    """Return the result of a call to Ray. Such a call waits for minutes if the local Ray has died, so this one checks.

    Raises:
        RayError: If Ray has died.
    """
    given: queue.SimpleQueue[Callable[[], Found]] = queue.SimpleQueue()
    threading.Thread(target=lambda: given.put(_outcome(call)), name="ray-call", daemon=True).start()
    while not has_died(signals):
        with contextlib.suppress(queue.Empty):
            return given.get(timeout=LOOKS_S)()
    time.sleep(SIGNAL_S)
    raise RayError("Ray's own processes have ended.")


def _outcome(call: Callable[[], Found]) -> Callable[[], Found]:
    """Run a call, and return a function that returns its result or raises its exception."""
    try:
        found = call()
    except BaseException as error:  # noqa: BLE001 - raised by the caller of the returned function
        raised = error

        def fail() -> Found:
            raise raised

        return fail
    return lambda: found


def machines(without: Collection[str] = ()) -> list[dict[str, float]]:
    """Return the resources of each living machine, except those with these node ids of Ray."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]


def _options_there(address: str) -> dict[str, Any]:
    """Return the arguments of ray.init for a cluster."""
    return {"address": address, "log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": False}


def _options_here(folder: Path, taken_port: int) -> dict[str, Any]:
    """Return the arguments of ray.init for a local Ray."""
    options = _options_there("local")  # else Ray joins the Ray that was last started on this machine
    options["_temp_dir"] = str(folder)
    # Without a dashboard Ray still starts one of its processes, whose only task is to ask the network for the metadata
    # of a cloud machine. If the port is taken, Ray continues without it (docs/adr/0003).
    options |= {"include_dashboard": False, "dashboard_port": taken_port, "logging_level": logging.FATAL}
    options["object_store_memory"] = OBJECT_STORE_BYTES
    options["num_cpus"] = usable_cpus().count
    # Workers that Ray starts in advance have a different environment than Tune's, so no trial would use them.
    # Metrics would be served to anyone, on every interface and without the token; nothing reads them.
    options["_system_config"] = {"prestart_worker_first_driver": False, "enable_metrics_collection": False}
    if (quoted := shlex.quote(sys.executable)) != sys.executable:  # Ray passes it to a shell unquoted
        options["runtime_env"] = {"py_executable": quoted}
    return options


def _require_listener(address: str) -> None:
    """Fail early if nothing listens at the address; Ray itself would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto` and the like, which Ray checks immediately
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise ClusterError(_unreachable(address, str(error))) from error


def _unreachable(address: str, reason: str) -> str:
    return (
        f"the Ray cluster at {address} cannot be reached: {reason}; check that it is running and that --address (or "
        f"RAY_ADDRESS) is right."
    )
