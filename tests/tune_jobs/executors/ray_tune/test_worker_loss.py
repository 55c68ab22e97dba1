import pytest
import ray

from tune_jobs.executors.ray_tune.worker_loss import classify_loss


@pytest.mark.parametrize(("gpu", "failure"), [(False, "oom"), (True, "lost_worker")])
def test_a_worker_killed_for_memory_is_the_cause_only_if_it_can_run_alone(gpu: bool, failure: str) -> None:
    assert classify_loss(ray.exceptions.OutOfMemoryError("killed"), None, gpu=gpu).failure == failure
