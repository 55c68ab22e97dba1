from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_unknown_overrides_and_sweeps_are_refused(sweep: Recorded) -> None:
    said = invoke("resume", "tracked", "--set", "nonsense=1", storage=sweep.folder.path.parent, expect=2)
    assert "nonsense" in said
    assert "there is no sweep 'trackd'" in invoke("resume", "trackd", storage=sweep.folder.path.parent, expect=2)
