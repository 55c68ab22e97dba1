"""A recorded sweep with a readable file."""

import pytest

from tests.tune_jobs.shipping import Recorded


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """The sweep fixture of all `tune_jobs` tests, with a complete file."""
    sweep.folder.spec.write_text("name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}}\n")
    return sweep
