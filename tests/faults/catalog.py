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


def do_all(faults: Sequence[Fault], bench: Bench, jobs: int) -> dict[str, Case]:
    """Do them, `jobs` at a time, and those that measure speed one by one after the others; by name, in their order.

    A fault with which nothing went wrong but that something took too long is done again with nothing beside it: others
    who use the machine make sweeps late, not wrong. The table says so.

    At Ctrl-C those under way are waited for, and what was not done is not there.
    """
    cases: dict[str, Case] = {}

    def note(fault: Fault) -> None:
        cases[fault.name] = do(fault, bench)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(note, [fault for fault in faults if not fault.alone]))
        for fault in faults:
            if fault.alone:
                note(fault)
        late = [fault for fault in faults if cases[fault.name].late]
        bench.repeat += AGAIN
        for fault in late:
            cases[fault.name] = _again(fault, bench, cases[fault.name])
        bench.repeat -= AGAIN
    except KeyboardInterrupt:
        say("interrupted")
    return {fault.name: cases[fault.name] for fault in faults if fault.name in cases}


def _again(fault: Fault, bench: Bench, first: Case) -> Case:
    say(f"{fault.name}: once more, alone")
    case = do(fault, bench)
    why = str(first.failures[0]).splitlines()[0] if first.failures else "too few were injected"
    case.remarks.append(f"(second try; the first: {why[:100]})")
    return case
