import pytest

from search_spaces.settings import Resources
from tune_jobs.executors.capacity import fitting, per_trial


@pytest.mark.parametrize(
    ("gpus", "cpus", "machines", "trials"),
    [
        (0, 1, [{"CPU": 8.0}], 8),
        (0, 3, [{"CPU": 8.0}, {"CPU": 2.0}], 2),
        (0.25, 2, [{"CPU": 8.0, "GPU": 1.0}], 4),
        (0.25, 2, [{"CPU": 4.0, "GPU": 1.0}], 2),
        (0.1, 1, [{"CPU": 100.0, "GPU": 1.0}], 10),  # ten tenths are one, despite rounding
        (1, 1, [{"CPU": 8.0}], 0),
        (0, 1, [], 0),
    ],
)
def test_each_trial_needs_all_its_resources_on_one_machine(
    gpus: float, cpus: int, machines: list[dict[str, float]], trials: int
) -> None:
    assert fitting(per_trial(Resources(gpus_per_trial=gpus, cpus_per_trial=cpus)), machines) == trials
