"""All faults, in the order of the table; each is done once, several to a sweep, or often, in sweeps of its own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.faults import adaptive, budgets, cluster, damaged, drivers, failing, growth, room, trackers, workers
from tests.faults.bench import Bench, Case, Fault, do, say
from tests.faults.chain import Chain
from tests.faults.cluster_chain import ClusterChain
from tests.faults.disk_chain import DiskChain
from tests.faults.failing_chain import FailingChain
from tests.faults.search_chain import SearchChain
from tests.faults.tracker_chain import TrackerChain

FAULTS = [
    fault
    for theme in (drivers, workers, adaptive, cluster, failing, room, damaged, trackers, budgets, growth)
    for fault in theme.FAULTS
]

CHAINS: tuple[type[Chain], ...] = (SearchChain, TrackerChain, DiskChain, ClusterChain, FailingChain)
"""The longest first."""

AGAIN = 1000
"""Added to the number of a repetition, for other folders and moments."""


def chosen(only: Sequence[str] = ()) -> list[Fault]:
    """The faults whose names contain one of `only`; all where that is empty.

    Raises:
        ValueError: If nothing contains a name.
    """
    unknown = [name for name in only if not any(name in fault.name for fault in FAULTS)]
    if unknown:
        there = "\n".join(fault.name for fault in FAULTS)
        raise ValueError(f"there is no fault {', '.join(unknown)}; there are:\n{there}")
    return [fault for fault in FAULTS if not only or any(name in fault.name for name in only)]


def do_all(faults: Sequence[Fault], bench: Bench, jobs: int) -> dict[str, Case]:
    """Do them, `jobs` at a time, and those that measure speed one by one after the others; by name, in their order.

    Unless the long form is asked for, the faults of a chain are done to one sweep.

    A fault with which nothing went wrong but that something took too long is done again with nothing beside it: others
    who use the machine make sweeps late, not wrong. The table says so.

    At Ctrl-C those under way are waited for, and what was not done is not there.
    """
    cases: dict[str, Case] = {}

    def note(job: "partial[list[Case]]") -> None:
        cases.update((case.name, case) for case in job())

    try:
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(note, _jobs([fault for fault in faults if not (bench.long and fault.alone)], bench)))
        for job in _jobs([fault for fault in faults if bench.long and fault.alone], bench):
            note(job)
        late = [fault for fault in faults if cases[fault.name].late]
        first = {fault.name: cases[fault.name] for fault in late}
        bench.repeat += AGAIN
        for job in _jobs(late, bench):
            say("once more, alone")
            note(job)
        bench.repeat -= AGAIN
        for name, case in first.items():
            why = str(case.failures[0]).splitlines()[0] if case.failures else "too few were injected"
            cases[name].remarks.append(f"(second try; the first: {why[:100]})")
    except KeyboardInterrupt:
        say("interrupted")
    return {fault.name: cases[fault.name] for fault in faults if fault.name in cases}


def _jobs(faults: Sequence[Fault], bench: Bench) -> "list[partial[list[Case]]]":
    """What can be done side by side: chains, then faults that are in none."""
    names = {fault.name for fault in faults}
    chains = [] if bench.long else [chain for chain in CHAINS if names & chain.steps.keys()]
    chained = {name for chain in chains for name in chain.steps}
    return [
        *(partial(_chain, chain, bench, names) for chain in chains),
        *(partial(_single, fault, bench) for fault in faults if fault.name not in chained),
    ]


def _chain(chain: type[Chain], bench: Bench, names: set[str]) -> list[Case]:
    return chain(bench).do(names)


def _single(fault: Fault, bench: Bench) -> list[Case]:
    return [do(fault, bench)]
