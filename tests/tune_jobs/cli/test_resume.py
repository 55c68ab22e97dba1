from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_only_what_leaves_the_trials_as_they_are_can_be_overridden(sweep: Recorded) -> None:
    said = invoke("resume", "tracked", "--set", "nonsense=1", storage=sweep.folder.path.parent, expect=2)
    assert "nonsense" in said
    assert "there is no sweep 'trackd'" in invoke("resume", "trackd", storage=sweep.folder.path.parent, expect=2)
