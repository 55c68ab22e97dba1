"""All faults, in the order of the table; each is injected once, several per sweep, or often, in separate sweeps."""

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
"""Added to the number of a repetition, to get other folders and moments."""


def chosen(only: Sequence[str] = ()) -> list[Fault]:
    """Return the faults whose names contain one of `only`; all if it is empty.

    Raises:
        ValueError: If a name of `only` matches no fault.
    """
    unknown = [name for name in only if not any(name in fault.name for fault in FAULTS)]
    if unknown:
        there = "\n".join(fault.name for fault in FAULTS)
        raise ValueError(f"unknown fault {', '.join(unknown)}; available:\n{there}")
    return [fault for fault in FAULTS if not only or any(name in fault.name for name in only)]


def do_all(faults: Sequence[Fault], bench: Bench, jobs: int) -> dict[str, Case]:
    """Inject the faults, `jobs` at a time, and afterwards one by one those that measure speed; return them by name.

    Unless the long form is requested, the faults of a chain are injected into one sweep.

    A fault that failed only because something took too long is repeated alone, because other users of the machine make
    sweeps late, not wrong. The table says so.

    After Ctrl-C, running faults are awaited, and the others are missing in the result.
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
            why = str(case.failures[0]).splitlines()[0] if case.failures else "too few faults were injected"
            cases[name].remarks.append(f"(second try; the first: {why[:100]})")
    except KeyboardInterrupt:
        say("interrupted")
    finally:
        bench.close()
    return {fault.name: cases[fault.name] for fault in faults if fault.name in cases}


def _jobs(faults: Sequence[Fault], bench: Bench) -> "list[partial[list[Case]]]":
    """Return the jobs that can run concurrently: chains, then faults that are in no chain."""
    names = {fault.name for fault in faults}
    chains = [] if bench.long else [chain(bench) for chain in CHAINS if names & chain.steps.keys()]
    chained = {name for chain in chains for name in chain.steps}
    bench.prepare(sweep for chain in reversed(chains) for sweep in chain.references(names))
    return [
        *(partial(chain.do, names) for chain in chains),
        *(partial(_single, fault, bench) for fault in faults if fault.name not in chained),
    ]


def _single(fault: Fault, bench: Bench) -> list[Case]:
    return [do(fault, bench)]
