"""Confirmations from Python: a finished one is read, called again and shown as a table without a worker."""

import contextlib
from pathlib import Path

import pytest

import tune_jobs
from tests.tune_jobs.evidence.test_confirm import confirmed, searched
from tune_jobs.errors import UsageError
from tune_jobs.evidence.confirm import Wanted


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with a sweep whose two best trials are confirmed, and a sweep without a confirmation."""
    place = tmp_path_factory.mktemp("storage")
    for name in ("searched", "unconfirmed"):
        (place / name).mkdir()
        with contextlib.closing(searched(place / name)) as ledger:
            if name == "searched":
                confirmed(ledger, Wanted(top=2))
    return place


def test_a_confirmation_is_read_and_called_again_by_name_or_opened_sweep(storage: Path) -> None:
    read = tune_jobs.open_confirmation("searched", storage)
    assert read is not None
    assert read == tune_jobs.confirm("searched", top=2, storage=storage)
    assert read == tune_jobs.confirm(tune_jobs.open_sweep("searched", storage))
    assert repr(read) == f"Confirmed('searched', {read.verdict})"
    assert tune_jobs.open_confirmation(tune_jobs.open_sweep("unconfirmed", storage)) is None


def test_the_table_has_the_same_numbers_as_the_dictionary_and_the_verdicts_as_text(storage: Path) -> None:
    read = tune_jobs.open_confirmation("searched", storage)
    assert read is not None
    frame, told = read.to_frame(), read.as_dict()
    arms = [told["baseline"], *told["candidates"]]
    assert frame["lambda"].tolist() == [arm["params"]["lambda"] for arm in arms]
    for name in ("trial", "runs", "mean", "sd", "promised", "too_good_by"):
        assert frame[name].tolist() == [arm[name] for arm in arms]
    differences = [arm["difference"] for arm in told["candidates"]]
    assert frame["difference"].tolist()[1:] == [each["mean"] for each in differences]
    assert (frame["low"] < frame["difference"])[1:].all()
    assert (frame["difference"] < frame["high"])[1:].all()
    assert frame["verdict"].tolist()[0] == "baseline"
    assert frame.set_index("lambda").loc[0.5, "verdict"] == "real: better"


def test_another_choice_is_refused_in_any_form(storage: Path) -> None:
    best = tune_jobs.open_sweep("searched", storage).best
    assert best is not None
    with pytest.raises(UsageError, match=rf"another confirmation \(baseline {best.number}, was not given\)"):
        tune_jobs.confirm("searched", baseline=best.number, storage=storage)
    with pytest.raises(UsageError, match=r"another confirmation \(baseline \{.*--again"):
        tune_jobs.confirm("searched", baseline=best.config, storage=storage)


def test_an_argument_out_of_range_is_refused(storage: Path) -> None:
    with pytest.raises(UsageError, match=r"^top must be 1 or more, got 0\.$"):
        tune_jobs.confirm("unconfirmed", top=0, storage=storage)
    with pytest.raises(UsageError, match=r"^margin must be 0 or more, got nan; half a point of accuracy is 0\.005\.$"):
        tune_jobs.confirm("unconfirmed", margin=float("nan"), storage=storage)
    with pytest.raises(UsageError, match="none"):
        tune_jobs.open_confirmation("none", storage)
