"""`python -m tests.faults.soak`: many short trials on a Ray cluster whose nodes come and go, compared at the end.

Four Ray nodes run on this machine. Nodes are killed, drained and started again, and the driver is killed twice, in an
order and at moments that follow a seed (see `strikes`). Then the ledger is compared with the same sweep left alone, and
MLflow with the ledger (see `oracle`). The exit code is 1 if anything was lost, done twice or not survived; the seed
and a folder with what was written are then printed.
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
"""Of each trial: several of them take as long as a node takes to start, or the sweep ends before all has happened."""

TRIAL_S = 20.0
"""A trial of the sweep left alone ends within this, also on a machine that others use."""

STALLS_S = 600.0
"""If no trial ends for this long, the sweep hangs."""

SAYS_S, LOOKS_S = 30.0, 1.0
"""Progress is printed, and the ledger is read, this often."""

STARTS = 4
"""A node is started so often before it is given up."""

INTERRUPTED = 130


def sweep_of(trials: int, seed: int) -> Sweep:
    """A random search, so that what is tried depends neither on order nor on time; epochs of 48 images."""
    return RANDOM.but(
        name="soak",
        space__data__limit=60,
        space__model__layer={"lambda": 0},  # an ordinary convolution costs a fraction of a second
        space__training__epochs=EPOCHS,
        search={"trials": trials, "seed": seed},
        resources={"checkpoint_every_s": 0},
    )


@dataclass
class Tally:
    """What was done, and the ledger once all of it was compared."""

    done: Counter[str] = field(default_factory=Counter)
    record: Record | None = None

    def lines(self, case: Case, trials: int) -> list[str]:
        """What is printed at the end."""
        found, record, done = case.found, self.record, self.done
        nodes = f"{done['kill']} killed, {done['drain']} drained, {done['join']} joined again"
        lines = [f"nodes: {nodes}; driver: {done['driver']} times killed"]
        if record is None:
            lines.append("the sweep did not end, and nothing was compared")
        else:
            ended = sum(trial.state in ENDED for trial in record.trials.values())
            epochs = sum(len(trial.epochs) for trial in record.trials.values())
            how = Counter(attempt.failure or attempt.state for attempt in record.attempts)
            each = ", ".join(f"{name} {count}" for name, count in how.most_common())
            lines += [
                f"trials {trials}, ended {ended}, lost {len(found.lost)}, duplicated {len(found.duplicated)}",
                f"epochs {epochs}, of which {len(record.recorded) - epochs} were run again after a loss",
                f"attempts {len(record.attempts)}: {each}; trials retried by hand: {done['retried']}",
            ]
        return [*lines, *map(str, case.failures), *([str(found)] if found else [])]


class Soak:
    """A sweep under way on a cluster, and what is done to both."""

    def __init__(self, round_: Round, made: Cluster, tally: Tally) -> None:
        """Start the nodes, then the driver."""
        self._round = round_
        self._made = made
        self._tally, self._done = tally, tally.done
        self._nodes = {number: self._started(number) for number in NODES}
        self._driver = round_.run("--address", made.address)
        self._ended, self._changed, self._said = 0, time.monotonic(), time.monotonic()

    def suffer(self, strikes: Sequence[Strike], trials: int) -> None:
        """Do the strikes, let the sweep end, and compare all of it."""
        act = {"kill": self._kill, "drain": self._drain, "join": self._join, "driver": self._kill_driver}
        for strike in strikes:
            if not self._reaches(strike.after) or self._driver.ends_within(strike.wait_s):
                break
            act[strike.kind](strike)
            self._done[strike.kind] += 1
        struck = self._done.total()
        self._reaches(trials + 1)
        self._retry_lost()
        wait_for(lambda: not workers(self._made.mark), "the workers of a driver that ended are gone", STAYS_S)
        self._tally.record = record = self._round.check()
        expect(struck == len(strikes), f"the sweep ended before the last {len(strikes) - struck} strikes")
        expect(record.failures().keys() <= set(LOST), f"attempts failed otherwise than by a loss: {record.failures()}")

    def _kill(self, strike: Strike) -> None:
        self._take(strike.node)

    def _drain(self, strike: Strike) -> None:
        self._take(strike.node, strike.wait_s)

    def _take(self, number: int, notice_s: float | None = None) -> None:
        """A node dies; with notice, as a cloud gives it, where that is not `None`."""
        node = self._nodes[number]
        what = "SIGKILL of" if notice_s is None else f"notice, {notice_s:.1f} s before SIGKILL, for"
        try:
            self._hit(f"{what} node {number}{self._trials_on(node)}")
            if notice_s is not None:
                self._made.drain(node)
                self._driver.ends_within(notice_s)
            node.kill()
        except StopIteration:  # no raylet: it was drained and ran nothing, or Ray's head had not heard of it for long
            say(f"node {number} has ended by itself")
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.process.wait(STAYS_S)
        del self._nodes[number]

    def _join(self, strike: Strike) -> None:
        """The machine is back, with its old address."""
        self._nodes[strike.node] = self._started(strike.node)
        self._hit(f"node {strike.node} is back")

    def _kill_driver(self, _strike: Strike) -> None:
        """A person resumes at once: some of the old workers are still there."""
        kill(self._round, self._driver)
        self._driver = self._round.go_on("--address", self._made.address)

    def _started(self, number: int) -> Node:
        """Ray gives a node half a minute to start, which on a machine that others use may be too short."""
        for _ in range(STARTS - 1):
            try:
                return self._made.add_node(machine=number)
            except AssertionError as error:
                say(f"node {number}: {str(error).strip().splitlines()[-1]} It is started again.")
        return self._made.add_node(machine=number)

    def _retry_lost(self) -> None:
        """A trial that is lost often without a new epoch has failed, by the rule, until a person wants it again."""
        if self._driver.code == 3:
            self._done["retried"] = sum(trial.state == "failed" for trial in self._trials())
            classes = [word for name in LOST for word in ("--class", name)]
            self._driver = self._round.start("retry", self._round.sweep.name, *classes, "--address", self._made.address)
        self._driver.end(0)

    def _reaches(self, ended: int) -> bool:
        """Wait until so many trials have ended; whether the driver still runs."""
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
        with contextlib.suppress(LedgerError):  # it is being made
            ended = sum(trial.state in ENDED for trial in self._trials())
            if ended != self._ended:
                self._ended, self._changed = ended, time.monotonic()
        return self._ended

    def _trials_on(self, node: Node) -> str:
        keys = {worker.run_key for worker in on_node(self._made, node)}
        names = [f"trial {trial.number}" for trial in self._trials() if trial.run_key in keys]
        return f" with {' and '.join(names)}" if names else ", which trains nothing"

    def _progress(self) -> str:
        up = 1 + sum(node.process.poll() is None for node in self._nodes.values())
        return f"{self._ended} trials ended, {up} nodes up"

    def _hit(self, what: str) -> None:
        self._round.hit(f"{what}; {self._progress()}")


def soak(case: Case, trials: int, tally: Tally) -> None:
    """Run the sweep alone, and on a cluster under the strikes of the case's seed."""
    sweep, strikes = sweep_of(trials, case.bench.seed), draw(case.bench.seed, trials)
    with cluster_of(case) as made, case.round(sweep) as round_:
        round_.environment |= made.token
        try:
            Soak(round_, made, tally).suffer(strikes, trials)
        finally:
            round_.close()
            kill_left_over(made.mark)


def main() -> int:
    """The exit code: 1 if anything was lost, done twice or not survived."""
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
        say(f"interrupted, with everything that was started stopped; what is left is in {scratch}")
        return INTERRUPTED
    print("\n".join([*tally.lines(case, options.trials), f"--trials {options.trials} --seed {seed}"]), flush=True)
    return close_scratch(scratch, passed=case.passed, began=began)


def _interrupt(_number: int, _frame: object) -> None:
    """Stop what was started; another Ctrl-C does not keep it from that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--trials", type=_trials, default=300, help=f"at least {TRIALS_AT_LEAST}; 300 if not given")
    parser.add_argument("--seed", type=int, help="of trials, strikes and their moments; a new one, which is printed")
    return parser.parse_args()


def _trials(text: str) -> int:
    if not text.isdecimal() or int(text) < TRIALS_AT_LEAST:
        raise argparse.ArgumentTypeError(f"must be a number of at least {TRIALS_AT_LEAST}, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
