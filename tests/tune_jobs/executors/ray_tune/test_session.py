import socket

import pytest

from tune_jobs.errors import ClusterError
from tune_jobs.executors.ray_tune.session import ray_session
from tune_jobs.system.signals import Signals


def test_a_cluster_that_no_one_listens_for_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with (
        pytest.raises(ClusterError, match=f"the Ray cluster at 127.0.0.1:{port} cannot be reached: .*refused"),
        ray_session(f"127.0.0.1:{port}", Signals()),
    ):
        raise AssertionError
