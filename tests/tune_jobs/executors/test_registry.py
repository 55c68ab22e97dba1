import pytest

from tune_jobs.errors import UsageError
from tune_jobs.executors.ray_tune.run import open_ray_tune
from tune_jobs.executors.registry import RAY_TUNE, executor_named


def test_executors_are_known_by_name() -> None:
    assert executor_named(RAY_TUNE) is open_ray_tune
    with pytest.raises(UsageError, match="unknown executor 'slurm'; available: ray_tune"):
        executor_named("slurm")
