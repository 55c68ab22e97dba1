"""Writes a comparison to files: one HTML page that needs no network, and CSV with all numbers in full precision."""

from pathlib import Path
from typing import Any

from tune_jobs.errors import UsageError
from tune_jobs.evidence import paper_words as told
from tune_jobs.evidence.pairs import SweepComparison
from tune_jobs.evidence.paper import PaperComparison, Row
from tune_jobs.evidence.redrawn import plots_of
from tune_jobs.record import names
from tune_jobs.record.folder import SweepFolder
from tune_jobs.report.page import rendered
from tune_jobs.report.tables import csv_text
from tune_jobs.report.writing import write_file
from tune_jobs.results.recorded.matching import Runs


def write_page(found: PaperComparison, runs: Runs, path: Path) -> None:
    """Write the page.

    Raises:
        UsageError: If the path is a folder.
        LedgerError: If it cannot be written.
    """
    write_file(_file(path, "--html", names.COMPARISON), page(found, runs).encode())


def write_csv(found: PaperComparison | SweepComparison, path: Path) -> None:
    """Write the table.

    Raises:
        UsageError: If the path is a folder.
        LedgerError: If it cannot be written.
    """
    text = paper_csv(found) if isinstance(found, PaperComparison) else sweeps_csv(found)
    write_file(_file(path, "--csv", names.COMPARISON_TABLE), text.encode())


def write_beside(found: PaperComparison, runs: Runs, folder: SweepFolder) -> None:
    """Write both to the sweep folder, from where they are sent to its tracker.

    Raises:
        LedgerError: If they cannot be written.
    """
    write_page(found, runs, folder.comparison)
    write_csv(found, folder.comparison_table)


def _file(path: Path, option: str, name: str) -> Path:
    if path.is_dir():
        raise UsageError(f"{option} must be a file, and {path} is a folder; try {option} {path / name}.")
    return path.expanduser().absolute()


def page(found: PaperComparison, runs: Runs) -> str:
    """Return the page as HTML."""
    several = len(told.epochs(found)) > 1
    rows = [
        {**told.cells(row, found.metric, epoch=several), **told.paper_says(row, found.metric)} for row in found.rows
    ]
    return rendered(
        "comparison.html",
        plots_of(found, runs),
        found=found,
        about=told.headline(found),
        rows=rows,
        without=[*told.notes(found), *told.without(found.not_comparable, found.left_out)],
        method=[*told.resolution(found), *told.method(found)],
    )


def paper_csv(found: PaperComparison) -> str:
    """Return one line per row; accuracies are fractions, but numbers printed in the paper are as printed."""
    return csv_text([_line(row) for row in found.rows], ["configuration", "config_key", "verdict"])


def _line(row: Row) -> dict[str, Any]:
    found, tables = row.difference, [place for place in row.printed if place.kind == "row"]
    return {
        "configuration": row.label,
        "config_key": row.config_key,
        "verdict": row.verdict,
        **{f"varying.{name}": value for name, value in row.varying.items()},
        "trials": " ".join(map(str, row.trials)),
        "epoch": row.epoch,
        "ours": row.ours.mean,
        "ours_sd": row.ours.sd,
        "ours_n": row.ours.n,
        "theirs": row.theirs.mean,
        "theirs_sd": row.theirs.sd,
        "theirs_n": row.theirs.n,
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "p_adjusted": row.p_adjusted,
        "resolves": found.resolves,
        "margin": row.margin,
        "method": found.method,
        "sd": found.sd,
        "df": found.df,
        "printed_in": "; ".join(place.item for place in tables),
        "printed_accuracy": tables[0].accuracy if tables else None,
        "printed_loss": tables[0].loss if tables else None,
        "drawn_in": "; ".join(item for each in row.best_epochs for item in each.items),
        "drawn_best_epoch": row.best_epochs[0].drawn if row.best_epochs else None,
        "ours_best_epoch": row.best_epochs[0].ours if row.best_epochs else None,
        "notes": "; ".join(row.notes),
    }


def sweeps_csv(found: SweepComparison) -> str:
    """Return one line per configuration that two sweeps share."""
    lines = [
        {
            "configuration": row.label,
            "config_key": row.config_key,
            **{f"varying.{name}": value for name, value in row.varying.items()},
            "epoch": row.epoch,
            "first": pair.first,
            "first_mean": row.first.mean,
            "first_sd": row.first.sd,
            "first_n": row.first.n,
            "second": pair.second,
            "second_mean": row.second.mean,
            "second_sd": row.second.sd,
            "second_n": row.second.n,
            "difference": row.difference,
        }
        for pair in found.pairs
        for row in pair.rows
    ]
    return csv_text(lines, ["configuration", "config_key", "epoch", "first", "second", "difference"])
