"""Plugins of a sweep, compared with those of its last start."""

from tune_jobs.record.plugins import Plugins, Recorded, code_changed


def plugin(code: str, *kinds: str, version: str = "1.0") -> Recorded:
    return Recorded(version=version, digest=code, kinds=dict.fromkeys(kinds, 1), files={"kinds.py": code})


BEFORE: Plugins = {"mine": plugin("a", "convnn.layers x", "convnn.layers y"), "other": plugin("c", "convnn.layers z")}


def test_changed_code_is_noticed_with_its_files() -> None:
    assert code_changed(BEFORE, BEFORE) == []
    now = BEFORE | {"mine": plugin("b", "convnn.layers x", "convnn.layers y", version="1.1")}
    assert code_changed(BEFORE, now) == ["mine 1.0 -> 1.1: changed kinds.py"]


def test_a_kind_from_another_plugin_is_compared_with_the_code_that_provided_it() -> None:
    same, renamed = plugin("a", "convnn.layers x"), plugin("b", "convnn.layers x", version="2.0")
    assert code_changed(BEFORE, {"renamed": same}) == []
    assert code_changed(BEFORE, {"renamed": renamed}) == ["mine 1.0 -> renamed 2.0: changed kinds.py"]
    both = {"mine": plugin("a", "convnn.layers y"), "renamed": renamed}
    assert code_changed(BEFORE, both) == ["mine 1.0 -> renamed 2.0: changed kinds.py"]
    assert code_changed(BEFORE, {"new": plugin("n", "convnn.layers new")}) == []
