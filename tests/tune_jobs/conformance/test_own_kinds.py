"""The built-in kinds pass the checks for plugins."""

import pytest

from convnn import plugins
from tune_jobs.conformance.check import properties_of, subjects
from tune_jobs.conformance.kinds import Subject
from tune_jobs.conformance.outcome import checked

OWN = [each for each in subjects() if each.name not in ("cifar10", "cifar100")]  # their files are not available
OF_SETTINGS = 4
"""The number of general properties of a stopping rule; pruners/test_conformance.py tests the others."""


def test_all_groups_of_kinds_are_checked() -> None:
    assert {each.group for each in OWN} == set(plugins.GROUPS)
    assert {each.name for each in OWN} >= {"vgg11", "vit_tiny", "conv2d", "kvt", "tpe", "asha", "digits"}


@pytest.mark.parametrize("subject", OWN, ids=lambda each: getattr(each.found, "__name__", each.name))
def test_the_built_in_kinds_pass(subject: Subject) -> None:
    asked = properties_of(subject)
    some = asked[:OF_SETTINGS] if subject.group == plugins.STOPPING_RULES else asked
    found = list(checked(some))
    assert len(found) >= OF_SETTINGS
    assert not [each for each in found if not each.ok]
