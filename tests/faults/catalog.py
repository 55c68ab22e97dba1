"""All faults, in the order of the table, and how they are done."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.faults import adaptive, budgets, cluster, damaged, drivers, failing, growth, room, trackers, workers
from tests.faults.bench import Bench, Case, Fault, do

FAULTS = [
    fault
    for theme in (drivers, workers, adaptive, cluster, failing, room, damaged, trackers, budgets, growth)
    for fault in theme.FAULTS
]


def chosen(only: Sequence[str] = (), *, short: bool = False) -> list[Fault]:
    """The faults whose names contain one of `only`; all, or those of the short form, where that is empty.

    Raises:
        ValueError: If nothing contains a name.
    """
    unknown = [name for name in only if not any(name in fault.name for fault in FAULTS)]
    if unknown:
        there = "\n".join(fault.name for fault in FAULTS)
        raise ValueError(f"there is no fault {', '.join(unknown)}; there are:\n{there}")
    if only:
        return [fault for fault in FAULTS if any(name in fault.name for name in only)]
    return [fault for fault in FAULTS if fault.short or not short]


def do_all(faults: Sequence[Fault], bench: Bench, jobs: int) -> list[Case]:
    """Do them, `jobs` at a time, and those that measure speed one by one after the others."""
    together = [fault for fault in faults if not fault.alone]
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(lambda fault: do(fault, bench), together)
    cases = {case.name: case for case in done}
    cases |= {fault.name: do(fault, bench) for fault in faults if fault.alone}
    return [cases[fault.name] for fault in faults]
