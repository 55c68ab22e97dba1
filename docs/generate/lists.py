"""Lists of files that are pages themselves."""

from pathlib import Path


def decisions_page(folder: Path) -> str:
    """Every page of docs/adr, by its title."""
    listed = [f"- [{_title(path)}](../adr/{path.name})" for path in sorted(folder.glob("*.md"))]
    return (
        "# Decisions\n\nWhy the design is as it is: context, decision and consequences on one page each.\n\n"
        + "\n".join(listed)
    )


def measurements_page(folder: Path) -> str:
    """Every page of benchmarks/results, by its title, the newest first."""
    paths = sorted(folder.glob("*.md"), key=lambda path: (path.stem[-10:], path.stem), reverse=True)
    listed = [f"- [{_title(path)}](../measurements/{path.name})" for path in paths]
    said = "Each claim about speed, memory or statistics has a dated page with its command, machine and versions."
    return f"# Measurements\n\n{said}\n\n" + "\n".join(listed)


def _title(path: Path) -> str:
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    return first.removeprefix("# ")
