from functools import partial

import pytest

from search_spaces.base import Decides, Infeasible, Rule, by_path, representative_values
from search_spaces.domains import Choice, FloatRange, every, largest_up_to


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (Infeasible("k", "must be at most 4", "9", "take fewer"), "must be at most 4, got 9; take fewer."),
        (
            Infeasible("k", "must be odd, as x is", "2", "take 3", before_got="; "),
            "must be odd, as x is; got 2; take 3.",
        ),
        (Infeasible("k", "needs 5 GB", way_out="take less"), "needs 5 GB; take less."),
        (Infeasible("constraints.0", "k < 4 does not hold: k = 9"), "k < 4 does not hold: k = 9"),
    ],
)
def test_an_infeasibility_states_rule_value_and_way_out(reason: Infeasible, message: str) -> None:
    assert reason.message == message


def test_a_deciding_field_is_represented_by_its_decisive_values_and_others_by_one_value() -> None:
    domain = Choice((3, 9, 5))
    assert representative_values([Rule("odd"), Decides(every)], domain) == (3, 9, 5)
    assert representative_values([Decides(partial(largest_up_to, {5}))], domain) == (5, 9)
    assert representative_values([Rule("odd")], domain) == (3,)
    assert representative_values([], FloatRange(0.1, 0.2)) == (0.1,)


def test_a_tree_is_flattened_by_path_in_order() -> None:
    tree = {"model": {"layer": {"k": 3, "r": None}, "width": 1}, "empty": {}, "seeds": [1, 2]}
    assert list(by_path(tree)) == [
        ("model.layer.k", 3),
        ("model.layer.r", None),
        ("model.width", 1),
        ("seeds", [1, 2]),
    ]
