from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_a_trials_log_is_the_log_of_its_latest_attempt(sweep: Recorded) -> None:
    storage = sweep.folder.path.parent
    sweep.attempt([1], "interrupted")
    assert "the trial has no log" in invoke("logs", "tracked", 1, storage=storage, expect=2)
    for attempt in (1, 2, 10):
        sweep.folder.attempt("a", attempt).mkdir(parents=True)
        (sweep.folder.attempt("a", attempt) / "log.txt").write_text(f"attempt {attempt}\n")
    assert invoke("logs", "tracked", 1, storage=storage) == "attempt 10\n"
    assert invoke("logs", "tracked", 1, "--follow", storage=storage) == "attempt 10\n"  # no driver runs the sweep


def test_a_sweep_that_ran_here_has_no_job_log(sweep: Recorded) -> None:
    said = invoke("logs", "tracked", storage=sweep.folder.path.parent, expect=2)
    assert "add a trial's number: convnn logs tracked 1" in said
