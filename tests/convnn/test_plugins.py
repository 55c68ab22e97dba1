"""Installed packages that add kinds."""

from pathlib import Path

from convnn.plugins import LAYERS, digest, forget, plugins
from tests.installing import installed, write_plugin


def test_hidden_files_and_backups_do_not_belong_to_the_code_of_a_plugin(tmp_path: Path) -> None:
    files = {"zz_kinds/__init__.py": "", "zz_kinds/data/means.json": "[]"}
    with installed(write_plugin(tmp_path / ".site", "zz", files, {LAYERS: "zz = zz_kinds:Zz"})) as site:
        (plugin,) = (each for each in plugins() if each.name == "zz")
        before = digest(plugin)
        for name in (".env", ".layers.py.swp", "layers.py~", ".git/config", "data/.cache/x.json"):
            path = site / "zz_kinds" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("secret")
        forget()
        assert list(plugin.files()) == list(files)
        assert digest(plugin) == before
