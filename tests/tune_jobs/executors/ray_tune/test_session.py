import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tune_jobs.errors import ClusterError
from tune_jobs.executors.ray_tune.session import has_died, ray_session
from tune_jobs.system.signals import Signals


def test_a_cluster_address_without_a_listener_fails_immediately() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with (
        pytest.raises(ClusterError, match=f"the Ray cluster at 127.0.0.1:{port} cannot be reached: .*refused"),
        ray_session(f"127.0.0.1:{port}", Signals()),
    ):
        raise AssertionError


def test_a_local_ray_of_a_process_that_imported_ray_before_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray  # noqa: F401

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(ClusterError, match="imported ray before the sweep"), ray_session(None, Signals()):
        raise AssertionError


class Ending(list[Any]):
    """The processes of a kind, changed by another thread during iteration."""

    def __init__(self, kinds: dict[str, list[Any]]) -> None:
        super().__init__()
        self._kinds = kinds

    def __iter__(self) -> Iterator[Any]:
        self._kinds.clear()
        return super().__iter__()


def test_a_ray_that_is_shutting_down_has_not_died(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import worker
    from ray._private.node import Node

    node = object.__new__(Node)
    node.all_processes = {}
    node.all_processes |= {"raylet": Ending(node.all_processes), "gcs_server": []}
    monkeypatch.setattr(worker, "_global_node", node)
    with pytest.raises(RuntimeError, match="changed size"):
        node.dead_processes()
    node.all_processes |= {"raylet": Ending(node.all_processes), "gcs_server": []}
    assert not has_died(Signals())


CYCLES = """
import gc
import threading
from tune_jobs.executors.ray_tune.session import ray_session
from tune_jobs.system.signals import Signals

class Cycle: ...

def leave_cycles():
    while objects:
        cycle = Cycle()
        cycle.itself, cycle.held = cycle, objects.pop()
        left.wait(0.0002)

left = threading.Event()
with ray_session(None, Signals()):
    import ray
    gc.set_threshold(1)  # every new object triggers a collection
    objects = [ray.put(number) for number in range(10_000)]
    threading.Thread(target=leave_cycles, daemon=True).start()
print("still here", len(objects) > 0)
"""


def test_ray_shuts_down_while_another_thread_leaves_cycles_with_ray_objects() -> None:
    # Ray's library ends the process in which such an object is freed during its shutdown, with exit code 1.
    done = subprocess.run([sys.executable, "-c", CYCLES], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "still here True"), done.stderr
