"""A recorded sweep whose file can be read, too."""

import pytest

from tests.tune_jobs.shipping import Recorded


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """The sweep of every test of `tune_jobs`, with a file that is whole."""
    sweep.folder.spec.write_text("name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}}\n")
    return sweep
