"""A search in which every proposal depends on every earlier value, killed ten times."""

from tests.faults.bench import Case, Fault, Round
from tests.faults.drivers import kill, kill_group, repeatedly
from tests.faults.driving import Driver
from tests.faults.sweeps import ADAPTIVE

KILLS = 10


def _kill_either(round_: Round, driver: Driver) -> None:
    round_.case.rng.choice([kill, kill_group])(round_, driver)


def _kills(case: Case) -> None:
    repeatedly(case, ADAPTIVE, KILLS, _kill_either, per_sweep=KILLS)


FAULTS = [Fault("TPE and ASHA, killed", _kills)]
