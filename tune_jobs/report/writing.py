"""Writes a report's files, each whole or not at all."""

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
"""How long models whose GFLOPs are not recorded are measured."""

LAST_MEASURE_S = 4.0
"""The same at the end of a run."""

LAST_LEDGER_MB = 100
"""A ledger of more, some 350,000 epochs, takes longer to draw than the end of a run should."""


@dataclass(frozen=True)
class Written:
    """Where the files of a report are."""

    sweep: str
    report: Path
    png: list[Path]
    csv: list[Path]
    more: MoreTrials
    """What more trials would bring."""

    effects: dict[str, Any]
    """What each value of the fields that vary came to, with the sentences of the page."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
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
    """Draw a sweep, whatever state it is in.

    Args:
        folder: The sweep.
        output: The page; `report.html` in the sweep's folder if `None`. The other files are put beside it.
        png: Each plot as a picture, too.
        csv: All trials and all epochs as tables, too.
        measure_s: About how long models whose size is not recorded may be measured.
        say: Is told what takes long.

    Raises:
        LedgerError: If the record cannot be read, or a file cannot be written.
        UsageError: If `output` is a folder, or there is no browser for the pictures.
    """
    report = folder.report if output is None else output.expanduser().absolute()
    if report.is_dir():
        raise UsageError(f"--output must be a file, and {report} is a folder; try --output {report / REPORT}.")
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
    """Write one of these files, whole or not at all.

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
    """Draw the report of a sweep that has ended, in little time; whatever goes wrong is said, and harms nothing.

    Args:
        folder: The sweep.
        wall_hours: How long it has run, a fiftieth of which may be spent on measuring models.
        say: Is told in a line why there is no report.

    Returns:
        The report, if there is one.
    """
    try:
        if folder.ledger.stat().st_size > LAST_LEDGER_MB * 1e6:
            say(f"the sweep is large, so its report is drawn when you ask for it: convnn report {folder.name}")
            return None
        return write_report(folder, measure_s=min(LAST_MEASURE_S, wall_hours * 3600 / 50)).report
    except Exception as error:  # noqa: BLE001 - a sweep is as good without its picture
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        say(f"there is no report yet: {reason}; once that is fixed: convnn report {folder.name}")
        return None
