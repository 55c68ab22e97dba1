from pathlib import Path

import pytest

from tests.faults.bench import Bench, Case, Fault
from tests.faults.catalog import CHAINS, FAULTS, do_all
from tests.faults.driving import TookTooLong
from tests.faults.table import lines

LATE, WRONG = TookTooLong("it still runs"), AssertionError("it ended with 1")


@pytest.mark.parametrize(("errors", "times"), [([LATE], 2), ([LATE, LATE], 2), ([WRONG], 1), ([LATE, WRONG], 1)])
def test_a_fault_is_repeated_only_if_it_was_just_late(tmp_path: Path, errors: list[Exception], times: int) -> None:
    done: list[Case] = []

    def fail(case: Case) -> None:
        done.append(case)
        for error in errors:
            case.note("round", error)

    (line,) = lines(do_all([Fault("fails", fail)], Bench(tmp_path, seed=0), jobs=1).values())
    assert len(done) == times
    assert not line.passed


def test_chains_contain_each_fault_of_the_table_once() -> None:
    chained = [name for chain in CHAINS for name in chain.steps]
    assert len(chained) == len(set(chained))
    assert set(chained) <= {fault.name for fault in FAULTS}
