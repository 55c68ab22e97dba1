"""Writes a report's files atomically."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.names import REPORT
from tune_jobs.report.more import MoreTrials
from tune_jobs.system.files import is_full, write_whole

MEASURE_S = 20.0
"""Time limit for measuring models whose GFLOPs are not recorded."""

LAST_MEASURE_S = 4.0
"""The same limit at the end of a run."""

LAST_LEDGER_MB = 100
"""A larger ledger, of more than about 350,000 epochs, takes too long to draw at the end of a run."""


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    sweep: str
    report: Path
    png: list[Path]
    csv: list[Path]
    more: MoreTrials
    """The expected gain from more trials."""

    effects: dict[str, Any]
    """The results of each value of the fields that vary, with the sentences of the page."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs, with stable keys."""
        return {
            "sweep": self.sweep,
            "report": str(self.report),
            "png": [str(path) for path in self.png],
            "csv": [str(path) for path in self.csv],
            "more_trials": asdict(self.more),
            "effects": self.effects,
        }


def write_report(
    folder: SweepFolder,
    output: Path | None = None,
    *,
    png: bool = False,
    csv: bool = False,
    measure_s: float = MEASURE_S,
    say: Callable[[str], None] = lambda _: None,
) -> Written:
    """Write a sweep's report, in any state of the sweep.

    Args:
        folder: The sweep's folder.
        output: The page; `report.html` in the sweep's folder if `None`. The other files are written next to it.
        png: Also write each plot as a picture.
        csv: Also write all trials and all epochs as tables.
        measure_s: About how long to measure models whose size is not recorded.
        say: Called with a message before each slow step.

    Raises:
        LedgerError: If the record cannot be read, or a file cannot be written.
        UsageError: If `output` is a folder, or no browser is found for the pictures.
    """
    report = folder.report if output is None else output.expanduser().absolute()
    if report.is_dir():
        raise UsageError(f"--output must be a file, but {report} is a folder; try --output {report / REPORT}.")
    from tune_jobs.report.data import read_data
    from tune_jobs.report.figures import plots_of
    from tune_jobs.report.findings import as_dict
    from tune_jobs.report.page import page
    from tune_jobs.report.pictures import need_browser, pictures
    from tune_jobs.report.tables import epochs_csv, leaderboard_csv

    if png:
        need_browser()
    data = read_data(folder, measure_s, say)
    plots = plots_of(data)
    write_file(report, page(data, plots))
    tables = {"leaderboard.csv": leaderboard_csv, "epochs.csv": epochs_csv} if csv else {}
    for name, table in tables.items():
        write_file(report.with_name(name), table(data))
    drawn = {}
    if png:
        say("drawing pictures ...")
        drawn = {report.with_name(f"{report.stem}-{key}.png"): content for key, content in pictures(plots).items()}
    for path, content in drawn.items():
        write_file(path, content)
    csvs = [report.with_name(name) for name in tables]
    return Written(folder.name, report, list(drawn), csvs, data.more, as_dict(data.effects))


def write_file(path: Path, content: str | bytes | Iterable[str]) -> None:
    """Write one of these files atomically.

    Raises:
        LedgerError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        way_out = "free space there" if is_full(error) else "choose another place with --output"
        raise LedgerError(f"{path} cannot be written: {error.strerror}; {way_out}.") from error


def draw_at_end(folder: SweepFolder, wall_hours: float, say: Callable[[str], None]) -> Path | None:
    """Write the report of a sweep that has ended, in little time. An error becomes a message and has no other effect.

    Args:
        folder: The sweep.
        wall_hours: How long it ran; a fiftieth of it may be spent on measuring models.
        say: Called with one line if there is no report.

    Returns:
        The report, or `None`.
    """
    try:
        if folder.ledger.stat().st_size > LAST_LEDGER_MB * 1e6:
            say(
                f"the report of this large sweep is not written automatically; write it with: convnn report "
                f"{folder.name}"
            )
            return None
        return write_report(folder, measure_s=min(LAST_MEASURE_S, wall_hours * 3600 / 50)).report
    except Exception as error:  # noqa: BLE001 - a missing report must not fail the sweep
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"the report could not be written: {reason}; once that is fixed, run: convnn report {folder.name}")
        return None
