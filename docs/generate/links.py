"""Links of a page as the repository has it, made links of the site."""

import posixpath
import re
from pathlib import Path

_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_PLACES = {"benchmarks/results/": "measurements/"}
_PAGES = {"CHANGELOG.md": "reference/changes.md", "benchmarks/results": "explanation/measurements.md"}


def page_of(source: str) -> str:
    """Where the site has a file of the repository; both by their paths, the second one below docs/."""
    if source in _PAGES:
        return _PAGES[source]
    for folder, place in _PLACES.items():
        if source.startswith(folder):
            return place + source.removeprefix(folder)
    return posixpath.relpath(source, "docs")


def source_of(page: str) -> str:
    """The file of the repository that a page of the site is made of."""
    for source, made in _PAGES.items():
        if made == page:
            return source
    for folder, place in _PLACES.items():
        if page.startswith(place):
            return folder + page.removeprefix(place)
    return f"docs/{page}"


def relinked(markdown: str, page: str, root: Path) -> str:
    """The text with links that lead to the site's pages; those to other files of the repository become plain text.

    A link to nothing stays, and MkDocs refuses it.
    """
    here = posixpath.dirname(source_of(page))

    def changed(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        path, mark, anchor = target.partition("#")
        source = posixpath.normpath(posixpath.join(here, path))
        to = page_of(source)
        if to.startswith("../"):
            return text if (root / source).exists() else found[0]
        return f"[{text}]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{mark}{anchor})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(changed, part) for part in parts)
