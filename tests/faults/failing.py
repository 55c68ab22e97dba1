"""Trials that fail, one class at a time: the consequences of each, and that `convnn retry` repeats exactly these."""

import contextlib
import io
import shutil
from pathlib import Path

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import expect, wait_for
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID, SHORT_GRID, SMALL
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.errors import LedgerError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger

JUST_S = 1.0

HUGE = {
    "name": "vit_tiny",
    "image_size": 512,
    "patch_size": 1,
    "depth": 1,
    "dim": 8,
    "mlp_width": 8,
    "attention": {"kind": "kvt", "k": 3},
}
"""One similarity per pair of 262,144 tokens, for 16 images: 4 TB, which every machine refuses immediately."""

WITH_HUGE = SHORT_GRID.but(name="huge", space__model={"any_of": [HUGE, {"name": "vgg11", **SMALL}]})

DIVERGING = GRID.but(
    name="diverging",
    space__training={"optimizer": "sgd", "clip_norm": None, "weight_decay": 10.0, "epochs": 6},
    space__training__lr={"choice": [0.01, 10.0]},
)


def _oom(case: Case) -> None:
    """Retried once more, alone and after all others; then failed, and the sampler avoids similar configurations."""
    reference = case.bench.reference(SHORT_GRID).record
    with case.round(WITH_HUGE, reference=False) as round_:
        driver = round_.run()
        wait_for(round_.ledger.exists, "a ledger")
        moment = round_.hit("a trial that no machine has the memory for")
        round_.recovers(moment, driver)
        said = driver.end(3)
        expect("oom" in said, f"the class is missing in the output:\n{said}")
        record = _failed(round_, reference, {"oom": 1}, attempts=2)
        (key,) = record.trials.keys() - reference.trials.keys()
        _first, again = [a for a in record.attempts if a.run_key == key]
        others = [a.ended or 0.0 for a in record.attempts if a.run_key != key]
        begun = (again.ended or 0.0) - again.seconds
        expect(begun > max(others) - JUST_S, "it was not retried alone after the others")
        expect(infeasible(round_) == {key}, "the sampler is not told that it cannot run")
        round_.start("retry", round_.sweep.name, "--class", "oom").end(3)
        _failed(round_, reference, {"oom": 1}, attempts=4)


def infeasible(round_: Round) -> set[str]:
    """Return the trials that the study marks as violating a constraint, after a restart."""
    copy = round_.place / "copy" / round_.sweep.name
    shutil.copytree(round_.folder, copy, ignore=shutil.ignore_patterns("trials"))
    with contextlib.closing(Ledger(copy / "ledger.db", create=True)) as ledger:
        search = Recorded(recorded_spec(SweepFolder(copy)), ledger)
        told = [max(trial.constraints.values(), default=0) > 0 for trial in search.study.trials]
        asked = [ask.run_key for ask in ledger.asks()]
    shutil.rmtree(copy)
    return {key for key, broken in zip(asked, told, strict=True) if broken and key is not None}


def _failed(round_: Round, reference: Record, classes: dict[str, int], attempts: int) -> Record:
    """Check that the failed trials are not in the reference; each has this many attempts, the others have one."""
    record = round_.check(reference=reference, only=reference.trials)
    failing = record.trials.keys() - reference.trials.keys()
    expect(len(failing) == sum(classes.values()), f"{len(failing)} trials besides the good ones")
    expect(all(record.trials[key].state == "failed" for key in failing), "one of them has not failed")
    for key in record.trials:
        tried = sum(attempt.run_key == key for attempt in record.attempts)
        wanted = attempts if key in failing else 1
        expect(tried == wanted, f"trial {record.trials[key].number} has {tried} attempts, not {wanted}")
    expect(record.failures() == {name: count * attempts for name, count in classes.items()}, str(record.failures()))
    return record


def _diverged(case: Case) -> None:
    """Final, but not a failure of the sweep; repeated only on request."""
    with case.round(DIVERGING) as round_:
        driver = round_.run()
        wait_for(round_.ledger.exists, "a ledger")
        round_.recovers(round_.hit("two trials diverge"), driver)
        driver.end(0)
        record = round_.check()
        diverged = {key for key, trial in record.trials.items() if trial.state == "diverged"}
        expect(len(diverged) == 2, f"{len(diverged)} trials diverged, not 2")
        expect(record.failures() == {"diverged": 2}, str(record.failures()))
        refused = round_.start("retry", round_.sweep.name, "--failed").end(2)
        expect("2 diverged" in refused, f"the failures are missing in the output:\n{refused}")
        round_.start("retry", round_.sweep.name, "--class", "diverged").end(0)
        again = [a for a in round_.check().attempts if a.attempt == 2]
        expect({a.run_key for a in again} == diverged, "other trials were repeated than those that diverged")
        expect({a.failure for a in again} == {"diverged"}, "the same configuration did not diverge again")


def _user_error(case: Case) -> None:
    """Final until the user has fixed it: here, a file in place of the trial's folder."""
    sweep = GRID
    reference = case.bench.reference(sweep).record
    with case.round(sweep) as round_:
        key = case.rng.choice(sorted(reference.trials))
        in_the_way = round_.folder / "trials" / key
        in_the_way.parent.mkdir(parents=True)
        in_the_way.touch()
        driver = round_.run()
        wait_for(round_.ledger.exists, "a ledger")
        moment = round_.hit(f"a file in the way of trial {reference.trials[key].number}")
        round_.recovers(moment, driver)
        said = driver.end(3)
        expect(
            f"Trial {reference.trials[key].number} failed (user_error)" in said,
            f"the failure is missing in the output:\n{said}",
        )
        record = round_.check(states={key: "failed"})
        expect(record.failures() == {"user_error": 1}, str(record.failures()))
        in_the_way.unlink()
        driver = round_.start("retry", sweep.name, "--failed")
        round_.recovers(driver.started, driver)
        driver.end(0)
        record = round_.check()
        again = [a.run_key for a in record.attempts if a.attempt > 1]
        expect(again == [key], f"other trials were repeated: {again}")


def _data(case: Case) -> None:
    """The images disappear: trials not started yet fail twice; after the fix, exactly these are repeated."""
    images = write_images(case.bench.scratch / "images")
    sweep = GRID.but(name="images", space__data={"name": "cifar10", "root": str(images)})
    for _ in range(3):
        if not case.injected:
            with case.round(sweep) as round_:
                root = round_.place / "images"
                shutil.copytree(images, root)
                # Missing images are downloaded, as documented; here, the network refuses that, as it should.
                round_.environment["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
                _images_go_away(round_, root)
                round_.check()
    expect(case.injected, "no trial ever misses the images")


def _images_go_away(round_: Round, root: Path) -> None:
    """Count the fault only if trials missed the images."""
    driver = round_.run("--set", f"space.data.root={root}")
    wait_for(lambda: _begun(round_) or driver.ends_within(0), "an epoch")
    driver.ends_within(round_.case.rng.uniform(0, 2))
    away = root.rename(root.with_name("away"))
    driver.end(0, 3)
    failed = {key for key, trial in round_.record().trials.items() if trial.state == "failed"}
    expect(driver.code == (3 if failed else 0), f"{len(failed)} trials failed, but the exit code is {driver.code}")
    if failed:
        round_.hit(f"the folder of images disappears, and {len(failed)} trials miss it")
    record = round_.check(states=dict.fromkeys(failed, "failed"))
    expect(record.failures() == ({"data": 2 * len(failed)} if failed else {}), str(record.failures()))
    away.rename(root)
    if failed:
        driver = round_.start("retry", round_.sweep.name, "--failed", "--class", "data")
        round_.recovers(driver.started, driver)
        driver.end(0)
        again = {a.run_key for a in round_.record().attempts if a.attempt > 2}
        expect(again == failed, f"other trials were repeated: {again}")


def _begun(round_: Round) -> bool:
    with contextlib.suppress(LedgerError):  # missing, or being created
        return bool(round_.record().recorded)
    return False


def write_images(folder: Path) -> Path:
    """Write CIFAR-10 as Parquet files, with a few images of noise."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    if folder.exists():
        return folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 200), ("test", 40)):
        rows = []
        for pixels in rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "png")
            rows.append({"bytes": buffer.getvalue(), "path": None})
        labels = [number % 10 for number in range(count)]
        pq.write_table(pa.table({"img": rows, "label": labels}), folder / f"{split}-00000-of-00001.parquet")
    return folder


FAULTS = [
    Fault("oom, then retry", _oom),
    Fault("diverged, then retry", _diverged),
    Fault("user_error, then retry", _user_error),
    Fault("data gone, then retry", _data),
]
