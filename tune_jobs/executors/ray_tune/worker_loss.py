"""Workers that Ray loses: how to kill one, and why one died."""

import contextlib
import socket
from typing import Any

from tune_jobs.executors.base import Loss

NODE_ANSWERS_S = 2.0
"""How long a machine may take to accept a connection after a worker on it has died."""


def kill_worker(tune_trial: Any) -> None:  # noqa: ANN401 - Tune's Trial
    """Kill a trial's worker, which may hang; Tune then reports its death."""
    import ray

    with contextlib.suppress(Exception):  # it may have ended at this moment
        ray.kill(tune_trial.temporary_state.ray_actor)


def classify_loss(error: BaseException | None, node: str | None, *, gpu: bool) -> Loss:
    """Return the failure class of a worker's death, from Ray's error and the state of its machine.

    If a machine runs out of memory, Ray chooses a worker to kill. On a GPU, other trials may run on the same machine
    even when a trial is retried alone on its GPU, so no trial is known to be the cause.
    """
    import ray

    if getattr(error, "preempted", False):
        return Loss("preempted", "the machine was taken away")
    if isinstance(error, ray.exceptions.OutOfMemoryError) or "memory monitor" in str(error):
        return Loss("lost_worker" if gpu else "oom", "Ray killed the worker because the machine ran out of memory")
    if isinstance(error, ray.exceptions.NodeDiedError) or (node is not None and not _alive(node)):
        if _drained(node):
            return Loss("preempted", "the machine was taken away")
        return Loss("lost_node", "the machine of the worker died")
    return Loss("lost_worker", "the worker process died (killed, out of memory or crashed)")


def _drained(node: str | None) -> bool:
    """Whether the machine is being drained. Ray's public list of machines does not say so."""
    try:
        from ray._private.state import state

        return node in state.get_draining_nodes()
    except Exception:  # noqa: BLE001 - a private API, which may change; the machine is lost in any case
        return False


def _alive(node: str) -> bool:
    """Whether a machine is alive. Ray's head node learns it late, so this connects to Ray's process on the machine."""
    import ray

    for known in ray.nodes():
        if known["NodeID"] == node and known["Alive"]:
            with contextlib.suppress(OSError):
                place = known["NodeManagerAddress"], known["NodeManagerPort"]
                socket.create_connection(place, timeout=NODE_ANSWERS_S).close()
                return True
    return False
