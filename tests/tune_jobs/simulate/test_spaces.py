"""Which recorded run is used for a configuration."""

from dataclasses import replace

import pytest

from search_spaces import Decided, load_sweep
from tests.tune_jobs.simulate.playing import spec, table
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published
from tune_jobs.results.recorded.table import RecordedRun
from tune_jobs.simulate.spaces import stand_ins, table_space

PRESETS = [*(f"table{n}" for n in range(1, 6)), *(f"figure{n}" for n in (3, 4, 5, 6, 7, 8, 10))]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs(published())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_every_trial_of_a_published_table_or_figure_has_its_run(runs: Runs, preset: str, data: str) -> None:
    space = load_sweep(f"{preset}-{data}").space
    assert [runs.why_none(config) for _, config in space.sample(None) if not runs.of(config)] == []


def test_the_convolution_of_table_1_has_seven_repeats(runs: Runs) -> None:
    space = load_sweep("table1-cifar10", ["space.model.layer={kind: conv2d}"]).space
    numbers = runs.of(space.resolve(Decided({})))
    finals = published().curves["test/accuracy"][numbers, 149]
    assert len(numbers) == 7
    assert finals.mean() == pytest.approx(0.8059, abs=5e-5)
    assert finals.std(ddof=1) == pytest.approx(0.0062, abs=5e-5)


def test_seed_precision_and_fewer_epochs_need_not_match_but_a_schedule_needs_its_epochs() -> None:
    found = Runs(table())
    config = next(iter(table().runs)).config
    assert config is not None

    def number_of(**training: object) -> list[int]:
        return found.of(config.model_copy(update={"training": config.training.model_copy(update=training)}))

    assert number_of() == [0]
    assert number_of(seed=7, precision="bf16", compile=True, epochs=5) == [0]
    assert number_of(epochs=10) == []
    assert number_of(schedule="cosine") == []
    assert number_of(weight_decay=0.02) == []


def test_the_reason_for_a_missing_run_names_the_field_that_no_run_has() -> None:
    space = spec(space__model__layer__k="4", space__training__lr="1.0e-3", space__training__batch_size="8").space
    config = next(config for _, config in space.sample(None))
    assert Runs(table()).why_none(config) == "model.layer.k 4, training.batch_size 8"


def test_the_reason_for_other_epochs_under_a_schedule_names_the_recorded_ones() -> None:
    recorded = table()
    cosine = [
        run.config.model_copy(update={"training": run.config.training.model_copy(update={"schedule": "cosine"})})
        for run in recorded.runs
        if run.config
    ]
    runs = Runs(replace(recorded, runs=tuple(RecordedRun(str(n), {}, config) for n, config in enumerate(cosine))))
    shorter = cosine[0].model_copy(update={"training": cosine[0].training.model_copy(update={"epochs": 5})})
    assert runs.of(shorter) == []
    assert runs.why_none(shorter) == "training.epochs 5: with schedule cosine it must be as recorded, 9"


def test_the_error_for_a_table_without_configurations_says_what_its_columns_lack() -> None:
    nameless = tuple(RecordedRun(run.id, {}, None, "model: Field required") for run in table().runs)
    with pytest.raises(
        UsageError, match=r"no run of small is .* \(model: Field required\); name its columns by the paths"
    ):
        Runs(replace(table(), runs=nameless))


def test_rules_see_the_number_of_epochs_of_a_tables_runs() -> None:
    space = table_space([2, 0, 1], stand_ins(3, epochs=60))
    assert space.values("training.epochs", 150) == [60]  # hyperband computes its brackets from this
    assert space.values("training.no_such_field", 7) == [7]
