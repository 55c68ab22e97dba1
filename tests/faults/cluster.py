"""A sweep on a real cluster of two nodes: a node dies or is preempted, the driver dies, its Ray job is stopped."""

import contextlib
import importlib.util
import re
from collections.abc import Iterator

from tests.faults.bench import Case, Fault, Round
from tests.faults.drivers import PER_SWEEP, TIMES, UNKEPT, kill, repeatedly
from tests.faults.driving import (
    GONE_S,
    MARK,
    Driver,
    TookTooLong,
    Worker,
    environment,
    expect,
    marked,
    training,
    wait_for,
    workers,
)
from tests.faults.oracle import Record
from tests.faults.ray_cluster import Cluster, Node, cluster
from tests.faults.sweeps import GRID
from tests.tune_jobs.program import CONVNN

JOB_EXTRAS = ("aiohttp_cors", "colorful", "grpc", "opencensus", "prometheus_client", "smart_open")
"""The packages that Ray's job server imports besides Ray: `ray[default]`."""


JUST_S = 1.0
"""A trial may end between the decision to kill its node and the kill."""


@contextlib.contextmanager
def cluster_of(case: Case, *, cpus: int = 1, jobs: bool = False) -> Iterator[Cluster]:
    """Start a cluster for one fault; with Ray's job server if `jobs`."""
    missing = [name for name in JOB_EXTRAS if jobs and importlib.util.find_spec(name) is None]
    expect(not missing, f"Ray's job server needs {', '.join(missing)}: pip install 'ray[default]'")
    folder = case.bench.scratch / f"cluster-{case.name.replace(' ', '-')}-{case.bench.repeat}"
    folder.mkdir()
    with cluster(folder, environment(folder, case.bench.scratch), cpus=cpus, jobs=jobs) as made:
        yield made


def on_node(made: Cluster, node: Node) -> list[Worker]:
    """Return the workers that train on a node."""
    return [worker for worker in training(made.mark) if worker.parent == node.raylet]


def _node_dies(case: Case) -> None:
    _node_goes(case, drained=False)


def _node_preempted(case: Case) -> None:
    _node_goes(case, drained=True)


def _node_goes(case: Case, *, drained: bool) -> None:
    """A node dies while a trial runs on it, with or without notice; the trial continues on another node."""
    times, sweep = TIMES, GRID
    failure = "preempted" if drained else "lost_node"
    case.bench.reference(sweep)
    with cluster_of(case) as made:
        for number in range(3 * times):
            if case.injected == times:
                break
            with case.round(sweep) as round_:
                round_.environment |= made.token
                node = made.add_node()
                driver = round_.run("--address", made.address)
                worker = _random_moment(round_, driver, made, node)
                moment = 0.0
                if worker is None:
                    expect(number < 3 * times - 1, "no trial is ever running on the node")
                    node.kill()
                else:
                    if drained:
                        made.drain(node)
                        driver.ends_within(case.rng.uniform(0, 1))
                    moment = round_.hit(f"the node of trial {worker.run_key} dies")
                    node.kill()
                    round_.recovers(moment, driver, worker.run_key)
                driver.end(0)
                record = round_.check()
                if worker is not None:
                    expect_class(record, worker, moment, failure)


def expect_class(record: Record, worker: Worker, moment: float, failure: str) -> None:
    """Check that only the attempt on the node failed, with this class; unless it had just ended."""
    attempt = next(a for a in record.attempts if (a.run_key, a.attempt) == (worker.run_key, worker.attempt))
    just_done = attempt.state == "complete" and (attempt.ended or 0.0) < moment + JUST_S
    seen = dict(record.failures())
    expect(seen == {failure: 1} or (just_done and not seen), f"expected {failure} once, got {seen}")


def _random_moment(round_: Round, driver: Driver, made: Cluster, node: Node) -> Worker | None:
    """Wait until a trial has run on the node for a random time; return `None` if it had ended by then."""
    wait_for(lambda: on_node(made, node) or driver.ends_within(0), "a trial on the node")
    driver.ends_within(round_.case.rng.uniform(0, 3))
    running = round_.record().running
    return next((w for w in on_node(made, node) if (w.run_key, w.attempt) in running), None)


def _driver_dies(case: Case) -> None:
    """The driver dies, but the cluster does not; the sweep resumes there immediately."""
    with cluster_of(case) as made:
        made.add_node()
        repeatedly(case, GRID, TIMES, kill, "--address", made.address, environment=made.token)
        wait_for(lambda: not workers(made.mark), "the workers of dead drivers have ended", GONE_S)


def _job_stopped(case: Case) -> None:
    """`ray job stop`, which kills after three seconds."""
    sweep, times = GRID.but(resources=UNKEPT), TIMES
    with cluster_of(case, cpus=2, jobs=True) as made:
        while case.injected < times:
            with case.round(sweep) as round_:
                round_.environment |= made.token
                most = min(PER_SWEEP, times - case.injected)
                while round_.injected < most and _submit_and_stop(round_, made):
                    pass
                driver = round_.go_on("--address", made.address)
                round_.recovers(driver.started, driver)
                driver.end(0)
                round_.check()


def _submit_and_stop(round_: Round, made: Cluster) -> bool:
    """Run the sweep as a job, stopped at a random moment after its start; return whether it was still running."""
    job = submit(round_, made)
    drivers = wait_for(lambda: marked(round_.storage), "the job has started")
    with contextlib.suppress(TookTooLong):  # otherwise it has ended by itself
        wait_for(lambda: not marked(round_.storage), "", max(0.1, round_.moment(0.9)))
    running = [pid for pid in drivers if pid in marked(round_.storage)]
    if running:
        round_.hit("ray job stop")
    stop(round_, made, job)
    return bool(running)


def submit(round_: Round, made: Cluster) -> str:
    """Run the sweep as a job; return its name."""
    job = f"job-{round_.place.name}-{round_.injected}"
    known = environment(round_.storage, round_.case.bench.scratch)
    names = (MARK, "CONVNN_CACHE", "CONVNN_TEST_CONNECTIONS", "OMP_NUM_THREADS")
    program = ["env", *(f"{name}={known[name]}" for name in names), CONVNN, *round_.going_on()]
    made.ray("job", "submit", "--address", made.dashboard, "--submission-id", job, "--no-wait", "--", *program)
    return job


def stop(round_: Round, made: Cluster, job: str) -> None:
    """Run `ray job stop`, and check that it ends the driver without a traceback."""
    at = ("--address", made.dashboard)
    made.ray("job", "stop", *at, job)
    wait_for(lambda: not marked(round_.storage), "the stopped job's driver has ended", GONE_S)
    status = made.ray("job", "status", *at, job)
    expect(re.search("stopped|STOPPED|SUCCEEDED|succeeded", status), f"the job was not stopped:\n{status}")
    if round_.ledger.exists():
        said = made.ray("job", "logs", *at, job)
        (round_.place / f"{job}.txt").write_text(said)
        expect("Traceback" not in said, f"ray job stop caused a traceback:\n{said[-3000:]}")


FAULTS = [
    Fault("node's raylet kill -9", _node_dies),
    Fault("node drained, then kill -9", _node_preempted),
    Fault("driver kill -9 with --address", _driver_dies),
    Fault("ray job stop", _job_stopped),
]
