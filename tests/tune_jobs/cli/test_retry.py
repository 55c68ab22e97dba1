from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_the_trials_must_be_selected(tmp_path: Path) -> None:
    assert (
        "no trials are selected; add --failed for all failed trials, --class CLASS for those of one class, or --stopped"
        in invoke("retry", "mine", storage=tmp_path, expect=2)
    )


def test_an_unknown_failure_class_is_refused(tmp_path: Path) -> None:
    said = invoke("retry", "mine", "--class", "lost_worke", storage=tmp_path, expect=2)
    assert "--class must be a failure class, got 'lost_worke'; did you mean 'lost_worker'?" in said


def test_manually_stopped_trials_can_be_selected(sweep: Recorded) -> None:
    sweep.folder.spec.write_text("name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}}\n")
    sweep.attempt([1], "failed", "no memory", "oom")
    storage = sweep.folder.path.parent
    assert "no trial was stopped manually" in invoke("retry", "tracked", "--stopped", storage=storage, expect=2)
    options = ("--stopped", "--class", "data")
    said = invoke("retry", "tracked", *options, storage=storage, expect=2)
    assert (
        "no trial has failed with data, or was stopped manually, so there is nothing to retry. The failures are: 1 oom"
        in said
    )
