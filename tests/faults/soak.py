"""`python -m tests.faults.soak`: many short trials on a Ray cluster whose nodes leave and return, compared at the end.

Four Ray nodes run on this machine. Nodes are killed, drained and started again, and the driver is killed twice; the
order and the times follow from a seed (see `strikes`). Then the ledger is compared with an undisturbed run of the same
sweep, and MLflow with the ledger (see `oracle`). The exit code is 1 if a result was lost or duplicated, or the sweep
did not survive a fault. The seed and the folder with all files are then printed.
"""

import argparse
import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.bench import STAYS_S, Bench, Case, Fault, Round, do, say
from tests.faults.cluster import cluster_of, on_node
from tests.faults.drivers import kill
from tests.faults.driving import END_S, expect, expect_in_time, kill_left_over, wait_for, workers
from tests.faults.oracle import Record
from tests.faults.ray_cluster import Cluster, Node
from tests.faults.scratch import close_scratch, open_scratch
from tests.faults.strikes import NODES, TRIALS_AT_LEAST, Strike, draw
from tests.faults.sweeps import RANDOM, Sweep
from tune_jobs.errors import LedgerError
from tune_jobs.failures import LOST
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import ENDED, Trial

EPOCHS = 12
"""Epochs per trial: several trials take as long as the start of a node, so the sweep does not end before its faults."""

TRIAL_S = 20.0
"""The time limit per trial of the undisturbed sweep, also on a busy machine."""

STALLS_S = 600.0
"""If no trial ends for this long, the sweep counts as hung."""

SAYS_S, LOOKS_S = 30.0, 1.0
"""How often progress is printed and the ledger is read."""

STARTS = 4
"""The number of attempts to start a node."""

INTERRUPTED = 130


def sweep_of(trials: int, seed: int) -> Sweep:
    """Return a random search, whose configurations depend neither on order nor on time; an epoch has 48 images."""
    return RANDOM.but(
        name="soak",
        space__data__limit=60,
        space__model__layer={"lambda": 0},  # a plain convolution takes a fraction of a second
        space__training__epochs=EPOCHS,
        search={"trials": trials, "seed": seed},
        resources={"checkpoint_every_s": 0},
    )


@dataclass
class Tally:
    """The faults so far, and the ledger after the comparison."""

    done: Counter[str] = field(default_factory=Counter)
    record: Record | None = None

    def lines(self, case: Case, trials: int) -> list[str]:
        """Return the lines of the summary."""
        found, record, done = case.found, self.record, self.done
        nodes = f"{done['kill']} killed, {done['drain']} drained, {done['join']} returned"
        lines = [f"nodes: {nodes}; driver: {done['driver']} times killed"]
        if record is None:
            lines.append("the sweep did not end, so nothing was compared")
        else:
            ended = sum(trial.state in ENDED for trial in record.trials.values())
            epochs = sum(len(trial.epochs) for trial in record.trials.values())
            how = Counter(attempt.failure or attempt.state for attempt in record.attempts)
            each = ", ".join(f"{name} {count}" for name, count in how.most_common())
            lines += [
                f"trials {trials}, ended {ended}, lost {len(found.lost)}, duplicated {len(found.duplicated)}",
                f"epochs {epochs}, of which {len(record.recorded) - epochs} were run again after a loss",
                f"attempts {len(record.attempts)}: {each}; trials retried: {done['retried']}",
            ]
        return [*lines, *map(str, case.failures), *([str(found)] if found else [])]


class Soak:
    """A running sweep on a cluster, and the faults that hit both."""

    def __init__(self, round_: Round, made: Cluster, tally: Tally) -> None:
        """Start the nodes, then the driver."""
        self._round = round_
        self._made = made
        self._tally, self._done = tally, tally.done
        self._nodes = {number: self._started(number) for number in NODES}
        self._driver = round_.run("--address", made.address)
        self._ended, self._changed, self._said = 0, time.monotonic(), time.monotonic()

    def suffer(self, strikes: Sequence[Strike], trials: int) -> None:
        """Inject the strikes, let the sweep end, and compare everything."""
        act = {"kill": self._kill, "drain": self._drain, "join": self._join, "driver": self._kill_driver}
        for strike in strikes:
            if not self._reaches(strike.after) or self._driver.ends_within(strike.wait_s):
                break
            act[strike.kind](strike)
            self._done[strike.kind] += 1
        struck = self._done.total()
        self._reaches(trials + 1)
        self._retry_lost()
        wait_for(lambda: not workers(self._made.mark), "the workers of the ended driver are gone", STAYS_S)
        self._tally.record = record = self._round.check()
        expect(struck == len(strikes), f"the sweep ended before the last {len(strikes) - struck} strikes")
        expect(
            record.failures().keys() <= set(LOST), f"attempts failed for other reasons than a loss: {record.failures()}"
        )

    def _kill(self, strike: Strike) -> None:
        self._take(strike.node)

    def _drain(self, strike: Strike) -> None:
        self._take(strike.node, strike.wait_s)

    def _take(self, number: int, notice_s: float | None = None) -> None:
        """Kill a node; with notice, as a cloud gives it, unless `notice_s` is `None`."""
        node = self._nodes[number]
        what = "SIGKILL of" if notice_s is None else f"notice, {notice_s:.1f} s before SIGKILL, for"
        try:
            self._hit(f"{what} node {number}{self._trials_on(node)}")
            if notice_s is not None:
                self._made.drain(node)
                self._driver.ends_within(notice_s)
            node.kill()
        except StopIteration:  # no raylet: it was drained and idle, or lost contact with the head
            say(f"node {number} has ended by itself")
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.process.wait(STAYS_S)
        del self._nodes[number]

    def _join(self, strike: Strike) -> None:
        """Start the node again, with its old address."""
        self._nodes[strike.node] = self._started(strike.node)
        self._hit(f"node {strike.node} is back")

    def _kill_driver(self, _strike: Strike) -> None:
        """Kill the driver and resume immediately, while some of its workers still run."""
        kill(self._round, self._driver)
        self._driver = self._round.go_on("--address", self._made.address)

    def _started(self, number: int) -> Node:
        """Start a node; try again if Ray's limit of half a minute is too short on a busy machine."""
        for _ in range(STARTS - 1):
            try:
                return self._made.add_node(machine=number)
            except AssertionError as error:
                say(f"node {number}: {str(error).strip().splitlines()[-1]} It is started again.")
        return self._made.add_node(machine=number)

    def _retry_lost(self) -> None:
        """Retry trials that failed because they were lost too often without a new epoch."""
        if self._driver.code == 3:
            self._done["retried"] = sum(trial.state == "failed" for trial in self._trials())
            classes = [word for name in LOST for word in ("--class", name)]
            self._driver = self._round.start("retry", self._round.sweep.name, *classes, "--address", self._made.address)
        self._driver.end(0)

    def _reaches(self, ended: int) -> bool:
        """Wait until this many trials have ended; return whether the driver still runs."""
        while self._count() < ended:
            if self._driver.ends_within(LOOKS_S):
                self._driver.end(0, 3)
                return False
            since = time.monotonic() - self._changed
            expect_in_time(since < STALLS_S, f"no trial has ended for {STALLS_S:g} s; {self._progress()}")
            if time.monotonic() - self._said > SAYS_S:
                self._said = time.monotonic()
                say(self._progress())
        return True

    def _trials(self) -> list[Trial]:
        with contextlib.closing(Ledger(self._round.ledger)) as ledger:
            return ledger.trials()

    def _count(self) -> int:
        with contextlib.suppress(LedgerError):  # it is being created
            ended = sum(trial.state in ENDED for trial in self._trials())
            if ended != self._ended:
                self._ended, self._changed = ended, time.monotonic()
        return self._ended

    def _trials_on(self, node: Node) -> str:
        keys = {worker.run_key for worker in on_node(self._made, node)}
        names = [f"trial {trial.number}" for trial in self._trials() if trial.run_key in keys]
        return f" with {' and '.join(names)}" if names else ", which is idle"

    def _progress(self) -> str:
        up = 1 + sum(node.process.poll() is None for node in self._nodes.values())
        return f"{self._ended} trials ended, {up} nodes up"

    def _hit(self, what: str) -> None:
        self._round.hit(f"{what}; {self._progress()}")


def soak(case: Case, trials: int, tally: Tally) -> None:
    """Run the sweep undisturbed, and on a cluster with the strikes of the case's seed."""
    sweep, strikes = sweep_of(trials, case.bench.seed), draw(case.bench.seed, trials)
    with cluster_of(case) as made, case.round(sweep) as round_:
        round_.environment |= made.token
        try:
            Soak(round_, made, tally).suffer(strikes, trials)
        finally:
            round_.close()
            kill_left_over(made.mark)


def main() -> int:
    """Run a soak and return the exit code."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    say(f"{options.trials} trials, --seed {seed}")
    scratch, began, tally = open_scratch("soak"), time.monotonic(), Tally()
    bench = Bench(scratch, seed=seed, end_s=END_S + TRIAL_S * options.trials)
    try:
        case = do(Fault("soak", lambda case: soak(case, options.trials, tally)), bench)
    except KeyboardInterrupt:
        say(f"interrupted, and every started process is stopped; the remaining files are in {scratch}")
        return INTERRUPTED
    print("\n".join([*tally.lines(case, options.trials), f"--trials {options.trials} --seed {seed}"]), flush=True)
    return close_scratch(scratch, passed=case.passed, began=began)


def _interrupt(_number: int, _frame: object) -> None:
    """Stop all started processes, and ignore a second Ctrl-C meanwhile."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument(
        "--trials", type=_trials, default=300, help=f"number of trials, at least {TRIALS_AT_LEAST}; default: 300"
    )
    parser.add_argument(
        "--seed", type=int, help="seed of the trials and the faults; default: a new one, which is printed"
    )
    return parser.parse_args()


def _trials(text: str) -> int:
    if not text.isdecimal() or int(text) < TRIALS_AT_LEAST:
        raise argparse.ArgumentTypeError(f"must be a number of at least {TRIALS_AT_LEAST}, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
