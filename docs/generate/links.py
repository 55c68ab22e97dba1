"""Convert links in repository files to links of the site."""

import posixpath
import re
from pathlib import Path

_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_PLACES = {"benchmarks/results/": "measurements/"}
_PAGES = {"CHANGELOG.md": "reference/changes.md", "benchmarks/results": "explanation/measurements.md"}


def page_of(source: str) -> str:
    """Return the path of the site's page, relative to docs/, for a file of the repository."""
    if source in _PAGES:
        return _PAGES[source]
    for folder, place in _PLACES.items():
        if source.startswith(folder):
            return place + source.removeprefix(folder)
    return posixpath.relpath(source, "docs")


def source_of(page: str) -> str:
    """Return the file of the repository that a page of the site is made from."""
    for source, made in _PAGES.items():
        if made == page:
            return source
    for folder, place in _PLACES.items():
        if page.startswith(place):
            return folder + page.removeprefix(place)
    return f"docs/{page}"


def relinked(markdown: str, page: str, root: Path) -> str:
    """Return the text with links to pages of the site; links to other files of the repository become plain text.

    A broken link is kept, so that MkDocs reports it.
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
