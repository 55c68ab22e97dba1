from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_only_a_running_sweep_can_be_stopped(sweep: Recorded) -> None:
    for options in ([], ["--pause"]):
        said = invoke("stop", "tracked", *options, storage=sweep.folder.path.parent, expect=2)
        assert "tracked is not running. To see its state: convnn status tracked" in said
        assert not sweep.folder.pause_file.exists()
