import pytest

from tune_jobs.cli.shared.remote import exit_code, first_line, refuse_cluster
from tune_jobs.cluster.jobs import Job
from tune_jobs.errors import UsageError


@pytest.mark.parametrize(
    ("status", "exited", "code"),
    [("FAILED", 3, 3), ("SUCCEEDED", 0, 0), ("SUCCEEDED", None, 0), ("STOPPED", None, 143), ("FAILED", None, 1)],
)
def test_a_job_has_the_exit_code_of_its_command(status: str, exited: int | None, code: int) -> None:
    assert exit_code(Job("job1", status, "", exited, {}, 0, None)) == code


def test_run_refuses_the_address_of_a_dashboard() -> None:
    refuse_cluster(None, "run")
    refuse_cluster("head:6379", "run")
    with pytest.raises(UsageError, match="convnn submit") as raised:
        refuse_cluster("http://me:s3cr3t@head:8265", "run")
    assert "s3cr3t" not in str(raised.value)


def test_a_message_is_shown_by_its_first_line() -> None:
    assert first_line("killed\nby its\nmachine") == "killed"
    assert first_line("") == ""
