import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from search_spaces import json_schema, presets
from search_spaces.reading.document import compose, value_of
from search_spaces.schema import FILE
from tests.search_spaces.strategies import fixed, spaces

BROKEN = Path(__file__).parent / "broken"

BEYOND_A_SCHEMA = {
    "a relation between two values": {
        "branch_that_never_runs",
        "budget_of_cpu_hours_with_gpu",
        "budget_of_gpu_hours_without_gpu",
        "constraint_mistakes",
        "constraint_never_met",
        "constraints_never_met_together",
        "default_k_above_candidates",
        "enough_with_grid",
        "even_context_in_a_range",
        "goal_against_metric",
        "heads_that_do_not_divide",
        "grace_not_below_epochs",
        "grid_with_a_range",
        "k_above_all_candidates",
        "layers_infeasible",
        "layers_named_twice",
        "layers_not_all_named",
        "log_range_from_zero",
        "metric_of_another_protocol",
        "patch_that_does_not_divide",
        "r_too_large",
        "reversed_range",
        "step_too_wide",
        "tf32_without_gpu",
        "value_that_never_runs",
    },
    "not YAML, or not representable in JSON": {
        "alias_to_itself",
        "colon_in_a_value",
        "duplicate_key",
        "empty",
        "indented_unevenly",
        "merge_of_a_value",
        "missing_space_after_colon",
        "not_a_mapping",
        "tab",
        "tag",
        "two_sweeps",
        "unclosed_bracket",
        "unknown_alias",
    },
    "infinity and NaN are not JSON": {"not_finite"},
}
SEEN = sorted({path.stem for path in BROKEN.glob("*.yaml")} - set().union(*BEYOND_A_SCHEMA.values()))
CHECK = jsonschema.Draft202012Validator(json_schema())


def read(file: Path) -> Any:
    return value_of(compose(file.read_text(encoding="utf-8"), file.name))


def test_the_schema_beside_the_presets_is_current() -> None:
    there = json.loads((presets.FOLDER / FILE).read_text(encoding="utf-8"))
    assert there == json_schema(), f"regenerate it: convnn schema > search_spaces/presets/{FILE}"


def test_the_schema_is_valid_draft_2020_12() -> None:
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", presets.names())
def test_the_schema_accepts_every_preset(name: str) -> None:
    CHECK.validate(read(presets.path(name)))


@pytest.mark.parametrize("name", SEEN)
def test_the_schema_rejects_the_mistakes_that_a_schema_can_detect(name: str) -> None:
    assert not CHECK.is_valid(read(BROKEN / f"{name}.yaml"))


@settings(fixed, max_examples=80)
@given(spaces())
def test_the_schema_accepts_every_space(space: Any) -> None:
    CHECK.validate({"name": "x", "space": space})


@pytest.mark.parametrize("field", ["k", "r", "lambda", "kernel_size", "padding", "lr", "epochs"])
def test_every_field_is_described_or_named_for_an_editor(field: str) -> None:
    definitions = json_schema()["$defs"].values()
    found = [d["properties"][field] for d in definitions if field in d.get("properties", {})]
    assert found
    assert all("title" in entry or "description" in entry for entry in found)


@pytest.mark.parametrize(
    "section", ["Budget", "Resources", "NoStopping", "Asha", "Hyperband", "Median", "Patience", "Auto"]
)
def test_budget_and_resources_are_described_for_an_editor(section: str) -> None:
    fields = json_schema()["$defs"][section]["properties"]
    plain = {"gpus_per_trial", "kind", "reduction_factor"}  # their names say it
    assert {name for name, field in fields.items() if "description" not in field} <= plain


def test_every_field_is_described() -> None:
    def bare(node: Any, path: str = "") -> list[str]:
        if isinstance(node, list):
            return [each for part in node for each in bare(part, path)]
        if not isinstance(node, dict):
            return []
        fields = node.get("properties", {})
        found = [f"{path}.{name}" for name, value in fields.items() if not value.get("description")]
        return found + [each for name, part in node.items() if name != "default" for each in bare(part, name)]

    assert bare(json_schema()) == []
