from pathlib import Path

from tests.faults.bench import Bench
from tests.faults.catalog import chosen, do_all
from tests.faults.table import lines, table


def test_a_sweep_survives_the_most_telling_faults(tmp_path: Path) -> None:
    cases = do_all(chosen(short=True), Bench(tmp_path, seed=0, short=True), jobs=2)
    found = lines(cases)
    wrong = [what for line in found for what in (*line.lost, *line.duplicated, *line.failures)]
    assert all(line.passed for line in found), "\n".join([table(found), *wrong])
