import subprocess
import sys

import pytest

import convnn

PUBLIC = [
    "ConvNN1d",
    "ConvNN2d",
    "ConvNNAttention",
    "Cost",
    "EpochResult",
    "HybridBranch1d",
    "HybridBranch2d",
    "KVTAttention",
    "LocalAttention",
    "Recipe",
    "SelfAttention",
    "SparseAttention",
    "TrainState",
    "VGG",
    "ViT",
    "fit",
    "load_dataset",
    "measure_cost",
    "vgg11",
    "vit",
    "vit_tiny",
]


def test_the_package_exports_exactly_the_public_names() -> None:
    assert sorted(convnn.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(convnn, name).__name__ == name


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'ConvNN3d'; it has VGG, ConvNN1d"):
        convnn.ConvNN3d  # noqa: B018 - the access is the test


def test_geometry_and_the_package_itself_load_no_torch() -> None:
    code = "import sys, convnn, convnn.geometry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_module_loads_cluster_packages() -> None:
    code = (
        "import sys, convnn; [getattr(convnn, name) for name in convnn.__all__]; "
        "sys.exit(bool({'ray', 'optuna', 'mlflow', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
