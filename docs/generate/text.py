"""Helpers that write Markdown."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")
_SPECIAL = re.compile(r"([\\*_\[\]<>|])")


def prose(text: str) -> str:
    """Escape plain text, so that only `code` in it is Markdown."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(part.replace("|", "&#124;") if part.startswith("`") else escaped(part) for part in parts)


def escaped(text: str) -> str:
    """Escape all characters that Markdown or HTML would interpret."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", text.replace("&", "&amp;"))


def code(text: str) -> str:
    """Return inline code for a line or a table cell."""
    return f"<code>{escaped(text)}</code>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table without its empty columns."""
    found = list(rows)
    kept = [number for number in range(len(heads)) if any(row[number] for row in found)]
    lines = [[heads[number] for number in kept], ["---"] * len(kept), *([row[n] for n in kept] for row in found)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
