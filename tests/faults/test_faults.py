from pathlib import Path

import pytest

from tests.faults.bench import Bench, Case, Fault
from tests.faults.catalog import chosen, do_all
from tests.faults.driving import TookTooLong
from tests.faults.table import lines, table

LATE, WRONG = TookTooLong("it still runs"), AssertionError("it ended with 1")


def test_a_sweep_survives_the_most_telling_faults(tmp_path: Path) -> None:
    cases = do_all(chosen(short=True), Bench(tmp_path, seed=0, short=True), jobs=2)
    found = lines(cases.values())
    wrong = [what for line in found for what in (*line.lost, *line.duplicated, *line.failures)]
    assert len(found) == len(chosen(short=True))
    assert all(line.passed for line in found), "\n".join([table(found), *wrong])


@pytest.mark.parametrize(("errors", "times"), [([LATE], 2), ([LATE, LATE], 2), ([WRONG], 1), ([LATE, WRONG], 1)])
def test_a_fault_is_done_again_only_where_all_that_went_wrong_is_that_it_was_late(
    tmp_path: Path, errors: list[Exception], times: int
) -> None:
    done: list[Case] = []

    def fail(case: Case) -> None:
        done.append(case)
        for error in errors:
            case.note("round", error)

    (line,) = lines(do_all([Fault("fails", fail)], Bench(tmp_path, seed=0, short=True), jobs=1).values())
    assert len(done) == times
    assert not line.passed
