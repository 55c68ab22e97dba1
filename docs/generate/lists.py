"""Pages that list other pages."""

from pathlib import Path


def decisions_page(folder: Path) -> str:
    """Return a list of the pages of docs/adr, by title."""
    listed = [f"- [{_title(path)}](../adr/{path.name})" for path in sorted(folder.glob("*.md"))]
    return (
        "# Decisions\n\nFind out why the design is as it is: context, decision and consequences on one page each.\n\n"
        + "\n".join(listed)
    )


def measurements_page(folder: Path) -> str:
    """Return a list of the pages of benchmarks/results, by title, the newest first."""
    paths = sorted(folder.glob("*.md"), key=lambda path: (path.stem[-10:], path.stem), reverse=True)
    listed = [f"- [{_title(path)}](../measurements/{path.name})" for path in paths]
    said = (
        "Check our claims about speed, memory and statistics. "
        "Each claim has a dated page with its command, machine and versions."
    )
    return f"# Measurements\n\n{said}\n\n" + "\n".join(listed)


def _title(path: Path) -> str:
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# ")
