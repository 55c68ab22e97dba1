"""Our own kinds keep to what is asked of plugins."""

import pytest

from convnn import plugins
from tune_jobs.conformance.check import properties_of, subjects
from tune_jobs.conformance.kinds import Subject
from tune_jobs.conformance.outcome import checked

OWN = [each for each in subjects() if each.name not in ("cifar10", "cifar100")]  # whose files are not here
OF_SETTINGS = 4
"""The first properties of a stopping rule; pruners/test_conformance.py has the others."""


def test_every_sort_of_kind_is_looked_at() -> None:
    assert {each.group for each in OWN} == set(plugins.GROUPS)
    assert {each.name for each in OWN} >= {"vgg11", "vit_tiny", "conv2d", "kvt", "tpe", "asha", "digits"}


@pytest.mark.parametrize("subject", OWN, ids=lambda each: getattr(each.found, "__name__", each.name))
def test_our_own_kinds_pass(subject: Subject) -> None:
    asked = properties_of(subject)
    some = asked[:OF_SETTINGS] if subject.group == plugins.STOPPING_RULES else asked
    found = list(checked(some))
    assert len(found) >= OF_SETTINGS
    assert not [each for each in found if not each.ok]
