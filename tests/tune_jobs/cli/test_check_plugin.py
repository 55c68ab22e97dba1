"""`convnn check-plugin` with known and unknown names."""

from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said


def test_a_built_in_kind_has_no_package_and_no_version() -> None:
    found = invoke_json("check-plugin", "kvt", storage=Path())
    require_as_said("check-plugin", found)
    (kind,) = found["kinds"]
    assert (found["ok"], kind["group"], kind["package"], kind["config_version"]) == (True, "convnn.layers", None, None)


def test_missing_files_of_a_data_set_are_reported(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("not Parquet")
    lines = invoke("check-plugin", "cifar10", "--data", tmp_path, storage=tmp_path, expect=1).splitlines()
    assert lines[0] == "convnn.datasets cifar10 (built-in)"
    failed = [line for line in lines if line.startswith("  FAIL")]
    assert failed[0].startswith("  FAIL  its splits have the declared number of images: ")
    assert str(tmp_path) in failed[0]


def test_an_unknown_name_gets_the_nearest_one() -> None:
    said = invoke("check-plugin", "patiense", storage=Path(), expect=2)
    assert said == (
        "convnn: NAME must be a kind, or an installed package that adds kinds, got 'patiense'; did you mean "
        "'patience'?\n"
    )
