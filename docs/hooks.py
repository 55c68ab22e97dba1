"""Hooks of `mkdocs build`: add the pages that are generated from the code, and convert links to other files.

The site contains benchmarks/results as measurements/, CHANGELOG.md as a page, and docs/adr. Other files of the
repository are named without a link.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from generate.commands import commands_page
from generate.exit_codes import exit_codes_page
from generate.links import page_of, relinked
from generate.lists import decisions_page, measurements_page
from generate.outputs import outputs_page
from generate.python_api import PACKAGES, python_page
from generate.sweep_files import sweep_files_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
MADE: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/sweep-files.md": sweep_files_page,
    "reference/json.md": outputs_page,
    "reference/exit-codes.md": exit_codes_page,
    "explanation/decisions.md": lambda: decisions_page(ROOT / "docs" / "adr"),
    "explanation/measurements.md": lambda: measurements_page(ROOT / "benchmarks" / "results"),
    **{f"reference/{package}.md": partial(python_page, package) for package in PACKAGES},
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files in docs/."""
    for name, made in MADE.items():
        files.append(File.generated(config, name, content=made()))
    copied = {"CHANGELOG.md": ROOT / "CHANGELOG.md"}
    copied |= {f"benchmarks/results/{path.name}": path for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    for source, path in copied.items():
        files.append(File.generated(config, page_of(source), content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Convert the links of a page to links of the site."""
    del config, files
    return relinked(markdown, page.file.src_uri, ROOT)
