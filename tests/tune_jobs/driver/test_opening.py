import contextlib
from pathlib import Path

import pytest

from search_spaces import Decided, parse_sweep
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.driver.opening import as_far_as_started, open_ledger, prepare_folder
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger


def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / SPEC.name)
    made.path.mkdir()
    return made


def begin(ledger: Ledger) -> None:
    ledger.add_trial({}, SPEC.space.resolve(Decided(next(SPEC.space.points()))), "a")


def test_a_folder_is_created_or_the_error_says_why_not(tmp_path: Path) -> None:
    prepare_folder(SweepFolder(tmp_path / "new" / "sweep"))
    assert list((tmp_path / "new" / "sweep").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match=r"cannot be written: .*; choose another storage folder with --storage"):
        prepare_folder(SweepFolder(tmp_path / "file" / "sweep"))


def test_a_new_ledger_describes_the_sweep_and_has_its_file_beside_it(tmp_path: Path) -> None:
    place = folder(tmp_path)
    with contextlib.closing(open_ledger(place, SPEC)) as ledger:
        meta = ledger.meta
        assert (meta.metric, meta.goal, meta.budget, meta.planned) == ("val/accuracy", "maximize", {}, 4)
        began = meta.started
    assert place.spec.read_text() == SPEC.text
    with contextlib.closing(open_ledger(place, SPEC)) as ledger:
        assert ledger.meta.started == began


def test_another_sweep_of_the_same_name_is_refused_with_the_differences(tmp_path: Path) -> None:
    place = folder(tmp_path)
    with contextlib.closing(open_ledger(place, SPEC)) as ledger:
        begin(ledger)
    other = parse_sweep(SPEC.text, overrides=["space.training.epochs=5"])
    with pytest.raises(UsageError, match=r"space.training.epochs: 3 -> 5"):
        open_ledger(place, other)
    assert place.spec.read_text() == SPEC.text


def test_a_run_that_started_no_trial_leaves_its_name_free(tmp_path: Path) -> None:
    place = folder(tmp_path)
    open_ledger(place, SPEC).close()
    other = parse_sweep(SPEC.text, overrides=["space.training.epochs=5"])
    with contextlib.closing(open_ledger(place, other)) as ledger:
        assert ledger.meta.planned == 4
    assert place.spec.read_text() == other.text


def test_trials_without_their_file_are_not_mixed_with_others(tmp_path: Path) -> None:
    place = folder(tmp_path)
    with contextlib.closing(open_ledger(place, SPEC)) as ledger:
        begin(ledger)
    place.spec.unlink()
    with pytest.raises(UsageError, match=r"sweep.yaml is missing"):
        open_ledger(place, SPEC)


TWO = parse_sweep(SPEC.text, overrides=["search={sampler: random, trials: 2}"])


def begun(tmp_path: Path, *ends: str | None) -> SweepFolder:
    """Return the folder of a sweep with a trial for each of these end states; `None` is a trial that still runs."""
    place = folder(tmp_path)
    with contextlib.closing(open_ledger(place, TWO)) as ledger:
        for key, end in zip("abc", ends, strict=False):
            ledger.add_trial({}, SPEC.space.resolve(Decided(next(SPEC.space.points()))), key)
            if end is not None:
                ledger.end_attempt(key, ledger.start_attempt(key), end)  # type: ignore[arg-type]
    return place


@pytest.mark.parametrize(
    ("ends", "trials", "started"),
    [
        ((), 2, None),
        (("complete",) * 2, 2, None),
        (("complete",) * 3, 3, "nothing"),
        (("complete", "failed", None), 3, "no new trial"),
    ],
)
def test_a_file_with_fewer_trials_than_have_started_keeps_those(
    tmp_path: Path, ends: tuple[str | None, ...], trials: int, started: str | None
) -> None:
    place = begun(tmp_path, *ends)
    spec, note = as_far_as_started(place, TWO)
    said = f"3 trials have run and search.trials is 2, so {started} is started (for more: convnn extend by-hand"
    assert (note or "").startswith(said if started else "")
    assert (note is None) == (started is None)
    open_ledger(place, spec).close()
    assert getattr(recorded_spec(place).search, "trials", None) == trials
    with contextlib.closing(Ledger(place.ledger)) as ledger:
        assert ledger.meta.planned == trials


def test_an_explicit_request_for_fewer_trials_is_refused_with_both_numbers(tmp_path: Path) -> None:
    place = begun(tmp_path, "complete", "complete", None)
    with pytest.raises(UsageError, match=r"search.trials must be at least 3, as 3 trials of by-hand .* got 2; leave"):
        as_far_as_started(place, TWO, exact=True)


def test_a_grid_has_no_number_of_trials_to_check(tmp_path: Path) -> None:
    assert as_far_as_started(begun(tmp_path, "complete"), SPEC, exact=True) == (SPEC, None)
