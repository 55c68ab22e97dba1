from pathlib import Path
from typing import Any

from search_spaces import parse_sweep
from tune_jobs.errors import ClusterError
from tune_jobs.ledger import Ledger
from tune_jobs.scheduling import Desk, DeskScheduler, DeskSearcher, DeskStopper
from tune_jobs.search import Job, Search

SPEC = parse_sweep("""
name: desk
space:
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75, 1]}, k: 4}}
  training: {epochs: 2}
""")


def desk_of(tmp_path: Path) -> tuple[Desk, Ledger]:
    ledger = Ledger(tmp_path / "ledger.db", create=True)

    def task(job: Job) -> dict[str, Any]:
        return {"folder": str(tmp_path / str(job.number) / str(job.attempt))}

    return Desk(Search(SPEC, ledger), task, lambda *_: None), ledger


def test_workers_that_never_start_cost_no_trial_and_end_the_sweep_soon(tmp_path: Path) -> None:
    desk, ledger = desk_of(tmp_path)
    searcher, stopper = DeskSearcher(desk), DeskStopper(desk)
    for number in range(3):
        assert not stopper.stop_all()
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), error=True)
    assert stopper.stop_all()
    assert isinstance(desk.error, ClusterError)
    assert "3 worker processes in a row did not start" in str(desk.error)
    assert [trial.state for trial in ledger.trials()] == ["interrupted"]  # the same one, tried again each time
    assert searcher.suggest("3") == "FINISHED"


def test_a_worker_that_died_after_it_had_begun_fails_its_trial(tmp_path: Path) -> None:
    desk, ledger = desk_of(tmp_path)
    searcher = DeskSearcher(desk)
    folder = Path(searcher.suggest("0")["folder"])
    folder.mkdir(parents=True)
    (folder / "log.txt").touch()
    searcher.on_trial_complete("0", error=True)
    assert [trial.state for trial in ledger.trials()] == ["failed"]
    assert desk.error is None


def test_what_goes_wrong_at_the_desk_ends_the_run_and_is_kept(tmp_path: Path) -> None:
    desk, _ = desk_of(tmp_path)
    searcher, scheduler = DeskSearcher(desk), DeskScheduler(desk)
    searcher.suggest("0")

    class Trial:
        trial_id = "0"

    report = {"kind": "epoch", "epoch": 1, "metrics": "no JSON"}
    assert scheduler.on_trial_result(object(), Trial(), report) == "CONTINUE"  # an exception here would end every trial
    assert isinstance(desk.error, ValueError)
    assert DeskStopper(desk).stop_all()
