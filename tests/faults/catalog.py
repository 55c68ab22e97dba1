"""All faults, in the order of the table, and how they are done."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.faults import adaptive, budgets, cluster, damaged, drivers, failing, growth, room, trackers, workers
from tests.faults.bench import Bench, Case, Fault, do, say

FAULTS = [
    fault
    for theme in (drivers, workers, adaptive, cluster, failing, room, damaged, trackers, budgets, growth)
    for fault in theme.FAULTS
]

AGAIN = 1000
"""Added to the number of a repetition, for other folders and moments."""


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
    """Do them, `jobs` at a time, and those that measure speed one by one after the others.

    A fault that was not survived, and with which nothing was lost or done twice, is done again with nothing beside it:
    others who use the machine make sweeps late, not wrong. The table says so.
    """
    together = [fault for fault in faults if not fault.alone]
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(lambda fault: do(fault, bench), together)
    cases = {case.name: case for case in done}
    cases |= {fault.name: do(fault, bench) for fault in faults if fault.alone}
    slow = [fault for fault in faults if not cases[fault.name].passed and not cases[fault.name].found]
    bench.repeat += AGAIN
    cases |= {fault.name: _again(fault, bench, cases[fault.name]) for fault in slow}
    bench.repeat -= AGAIN
    return [cases[fault.name] for fault in faults]


def _again(fault: Fault, bench: Bench, first: Case) -> Case:
    say(f"{fault.name}: once more, alone")
    case = do(fault, bench)
    why = first.failures[0].splitlines()[0] if first.failures else "too few were injected"
    case.remarks.append(f"(second try; the first: {why[:100]})")
    return case
