import pytest

from search_spaces.settings import Asha, Enough, Grid, NoStopping
from tune_jobs.errors import UsageError
from tune_jobs.simulate.rules import default_rules, rules_of

OWN = Asha(kind="asha", grace_epochs=7)


def test_rules_are_named_by_their_kind_and_settings() -> None:
    found = rules_of("none, asha:10/2,asha:5,best:10/4,file,none", 100, OWN)
    assert [rule.name for rule in found] == ["none", "asha:10/2", "asha:5", "best:10/4", "file"]
    assert [rule.stopping for rule in found] == [
        NoStopping(),
        Asha(kind="asha", grace_epochs=10, reduction_factor=2),
        Asha(kind="asha", grace_epochs=5),
        NoStopping(),
        OWN,
    ]
    assert [rule.best for rule in found] == [None, None, None, (10, 4), None]


def test_a_rule_may_include_stopping_enough() -> None:
    first, second = rules_of("asha:10/2+enough:0.3/0.8,file+enough:1", 100, OWN)
    assert first.stopping == Asha(
        kind="asha", grace_epochs=10, reduction_factor=2, enough=Enough(within=0.3, confidence=0.8)
    )
    assert second.stopping == OWN.model_copy(update={"enough": Enough(within=1.0)})
    with pytest.raises(UsageError, match="needs trials in random order, and FILE searches a grid"):
        rules_of("none+enough:1", 100, None, Grid())


def test_the_default_rules_are_the_baselines_and_the_rule_in_the_file() -> None:
    assert default_rules(100, None) == default_rules(100, NoStopping()) == "none,asha:10/3,best:10/4"
    assert default_rules(9, OWN) == "file,none,asha:1/3,best:1/4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asah:1/3", r"there is no rule 'asah'; did you mean 'asha'\?"),
        ("asha:1/3/4", r"asha has 2 settings \(grace_epochs/reduction_factor\), got 3"),
        ("asha:0", "grace_epochs must be greater than or equal to 1, got 0; write asha:GRACE_EPOCHS/"),
        ("asha:100", "grace_epochs must be below the 100 epochs of a trial, got 100"),
        ("best:10", r"must be best:I/K, to train all trials for I epochs \(1 to 99\)"),
        ("best:100/3", "must be best:I/K"),
        ("file", "give FILE"),
        (" ,", "must name a rule"),
        ("none+enough:", r"within must be a valid number, got None; write none\+enough:WITHIN/CONFIDENCE"),
        ("none+enough:1/1", "confidence must be less than 1, got 1"),
        ("none+enough:1/0.9/3", r"enough has 2 settings \(within/confidence\), got 3"),
        ("best:10/4+enough:1", r"best has no enough; write none\+enough:1"),
    ],
)
def test_the_error_for_a_wrong_rule_has_the_way_out(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rules_of(text, 100)
