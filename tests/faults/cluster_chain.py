"""A sweep on one real cluster: nodes die or are preempted, its driver dies, its Ray job is stopped."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.faults.bench import Bench, Case
from tests.faults.chain import EVERY_S, Chain
from tests.faults.cluster import cluster_of, on_node, stop, submit
from tests.faults.drivers import kill
from tests.faults.driving import GONE_S, Driver, Worker, expect, expect_in_time, marked, wait_for, workers
from tests.faults.ray_cluster import Cluster, Node
from tests.faults.sweeps import LONGER_GRID

DRAINED = "node drained, then kill -9"
DIES = "node's raylet kill -9"


class ClusterChain(Chain):
    """A head, and a new node for each fault of a node."""

    name = "cluster"
    sweep = LONGER_GRID
    made: Cluster

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._failures: dict[str, int] = {}
        self._nodes: list[Node] = []

    @contextlib.contextmanager
    def opened(self, first: Case, place: Path, storage: Path | None = None) -> Iterator[None]:
        """Open it with as many nodes as will die."""
        with cluster_of(first, jobs=True) as self.made, super().opened(first, place, storage):
            self.round.environment |= self.made.token
            self._nodes = [self.made.add_node() for name in (DRAINED, DIES) if name in self.wanted]
            yield

    def running(self, *options: object) -> Driver:
        """Return a driver on this machine that uses the cluster."""
        return super().running("--address", self.made.address, *options)

    def node_drained(self) -> None:
        """A node dies with notice."""
        self._lose_node("preempted")

    def node_dies(self) -> None:
        """A node dies without notice."""
        self._lose_node("lost_node")

    def _lose_node(self, failure: str) -> None:
        """Only the attempt on the node fails, with this class; its trial continues on another node."""
        driver, node = self.running(), self._nodes.pop()
        worker = self._caught(driver, node)
        for other in self._nodes:  # otherwise the sweep might end while this node dies
            self._caught(driver, other)
        if failure == "preempted":
            self.made.drain(node)  # draining takes as long as a short trial
            os.kill(worker.pid, signal.SIGCONT)
            driver.ends_within(self.case.rng.uniform(0, 0.5))
        moment = self.round.hit(f"the node of trial {worker.run_key} dies")
        node.kill()
        self.round.recovers(moment, driver, worker.run_key)
        self._failures[failure] = 1
        self.wait_for(
            lambda: self._goes_on_elsewhere(worker) or driver.ends_within(0),
            "the attempt is lost, and the trial continues",
        )
        record = self.round.record()
        lost = next(a for a in record.attempts if (a.run_key, a.attempt) == (worker.run_key, worker.attempt))
        expect_in_time(lost.state != "complete", "the trial ended before its node died")
        expect(lost.failure == failure, f"it failed with {lost.failure}, not with {failure}")
        expect(dict(record.failures()) == self._failures, f"other attempts failed, too: {record.failures()}")

    def _caught(self, driver: Driver, node: Node) -> Worker:
        """Return a worker on the node paused after an epoch, so that it cannot end before its node dies."""

        def there() -> list[Worker]:
            record = self.round.record()
            begun = {(key, attempt) for _, key, attempt, _ in record.recorded}
            return [w for w in on_node(self.made, node) if (w.run_key, w.attempt) in begun & record.running]

        self.wait_for(lambda: there() or driver.ends_within(0), "a trial on the node has trained an epoch")
        expect_in_time(not driver.ends_within(0), "the sweep ended before a node died")
        worker = self.case.rng.choice(there())
        os.kill(worker.pid, signal.SIGSTOP)
        return worker

    def _goes_on_elsewhere(self, worker: Worker) -> bool:
        attempts = [a for a in self.round.record().attempts if a.run_key == worker.run_key]
        return any(a.attempt > (worker.attempt or 0) for a in attempts)

    def driver_killed(self) -> None:
        """The cluster continues, and the driver's workers end."""
        driver = self.running()
        self.in_training(driver)
        kill(self.round, driver)
        wait_for(lambda: not workers(self.made.mark), "the workers of a dead driver have ended", GONE_S, EVERY_S)

    def job_stopped(self) -> None:
        """Ray kills the driver three seconds after asking it to end."""
        began = time.time()
        job = submit(self.round, self.made)
        self.wait_for(lambda: marked(self.round.storage), "the job has started")
        self.wait_for(lambda: self.recorded_after(began), "it trains")
        self.round.hit("ray job stop")
        stop(self.round, self.made, job)

    steps: ClassVar = {
        DRAINED: node_drained,
        DIES: node_dies,
        "driver kill -9 with --address": driver_killed,
        "ray job stop": job_stopped,
    }
