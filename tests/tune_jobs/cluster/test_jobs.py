import pytest

from tests.tune_jobs.cluster.head import Head
from tune_jobs.cluster.jobs import Jobs
from tune_jobs.errors import ClusterError

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call


def test_a_server_that_is_something_else_is_said() -> None:
    with Head().serving() as head, pytest.raises(ClusterError, match="answers with HTTP 404"):
        Jobs(f"{head.address}/elsewhere")
