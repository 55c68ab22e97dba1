"""`convnn check-plugin` of kinds that are there and of those that are not."""

from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said


def test_kinds_of_ours_have_no_package_and_a_name_of_several_is_all_of_them() -> None:
    found = invoke_json("check-plugin", "kvt", storage=Path())
    require_as_said("check-plugin", found)
    (kind,) = found["kinds"]
    assert (found["ok"], kind["group"], kind["package"], kind["config_version"]) == (True, "convnn.layers", None, None)


def test_the_files_of_a_data_set_that_are_not_there_are_said(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("not Parquet")
    lines = invoke("check-plugin", "cifar10", "--data", tmp_path, storage=tmp_path, expect=1).splitlines()
    assert lines[0] == "convnn.datasets cifar10 (ours)"
    failed = [line for line in lines if line.startswith("  FAIL")]
    assert failed[0].startswith("  FAIL  its splits have the images that it says: ")
    assert str(tmp_path) in failed[0]


def test_an_unknown_name_gets_the_nearest_one() -> None:
    said = invoke("check-plugin", "patiense", storage=Path(), expect=2)
    assert said == (
        "convnn: NAME must be a kind, or an installed package of kinds, got 'patiense'; did you mean 'patience'?\n"
    )
