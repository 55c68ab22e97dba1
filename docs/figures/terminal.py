# ruff: noqa: SLF001 - a script beside its figures, not a module
"""Draw the terminal output of a finished and confirmed sweep: `show.svg`, `live.svg` and `confirm.svg`.

convnn run quickstart
convnn confirm quickstart --top 3
python docs/figures/terminal.py ~/convnn-sweeps/quickstart
"""

import re
import sys
import time
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Group
from rich.terminal_theme import MONOKAI
from rich.text import Text
from typer.testing import CliRunner

from tune_jobs.cli.app import app
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LiveTable
from tune_jobs.display.running import Running
from tune_jobs.display.tables import leaderboard, standing
from tune_jobs.events import Ended, EpochEnded, Event, Job, Started
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.summary import Summary, read_summary, state_of

HERE = Path(__file__).parent
WIDTH, WIDE, SHARE = 92, 120, 0.6
"""Columns, columns for a confirmation, and the share of the sweep that has run in the live view."""


def draw(name: str, command: str, content: Group, width: int = WIDTH) -> None:
    """Save a picture of terminal output."""
    console = TextConsole(record=True, file=StringIO(), width=width, force_terminal=True)
    console.print(content)
    picture = console.export_svg(title=command, theme=MONOKAI, unique_id=name)
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # the browser would download the font
    (HERE / f"{name}.svg").write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


def events(folder: SweepFolder) -> list[tuple[float, Event]]:
    """Return the events of a sweep with their times, in order."""
    with closing(Ledger(folder.ledger)) as ledger:
        trials = {trial.run_key: trial for trial in ledger.trials()}
        found: list[tuple[float, Event]] = []
        for attempt in ledger.attempts():
            trial = trials[attempt.run_key]
            job = Job(attempt.run_key, attempt.attempt, trial.number, trial.config)
            found.append((attempt.started, Started(job)))
            epochs = ledger.epochs(attempt.run_key)
            found += [(epoch.at, EpochEnded(job, epoch.epoch, epoch.metrics)) for epoch in epochs]
            if attempt.ended is not None:
                found.append((attempt.ended, Ended(job, attempt.state)))
    return sorted(found, key=lambda pair: pair[0])


def at(share: float, folder: SweepFolder, whole: Summary) -> tuple[Running, Summary]:
    """Return the state of the sweep at the time when this share of it had run."""
    happened = events(folder)
    begin, end = happened[0][0], happened[-1][0]
    then = begin + share * (end - begin)
    now = [begin]
    running = Running(whole.metric, whole.columns, lambda: now[0])
    ended: set[str] = set()
    for when, event in happened:
        if when <= then:
            now[0] = when
            running.take(event)
            ended |= {event.job.run_key} if isinstance(event, Ended) else set()
    now[0] = then
    used = replace(whole.used, **{f: getattr(whole.used, f) * share for f in ("gpu_hours", "cpu_hours", "wall_hours")})
    rows = [
        row if row.run_key in ended else replace(row, state="running", value=None)
        for row in whole.rows
        if row.run_key in ended or row.number in running.trials
    ]
    return running, replace(whole, rows=rows, used=used, beside=[row.fields for row in whole.rows])


def main() -> None:
    """Draw all three."""
    folder = SweepFolder(Path(sys.argv[1]).expanduser().absolute())
    whole = read_summary(folder)
    text = standing(whole, state_of(whole, running=False))
    draw("show", f"convnn show {folder.name}", Group(text, "", *leaderboard(whole, WIDTH)))
    running, found = at(SHARE, folder, whole)
    live = LiveTable(TextConsole(file=StringIO(), width=WIDTH, height=40, force_terminal=True))
    live._running, live._summary, live._note = running, found, ""
    live._started = time.monotonic() - SHARE * 3600 * whole.used.wall_hours
    draw("live", f"convnn run {folder.name}", live._drawn())
    asked = ["confirm", folder.name, "--top", "3", "--storage", str(folder.path.parent)]
    said = CliRunner().invoke(app, asked, env={"COLUMNS": str(WIDE)}).stdout
    *_, table = said.partition("baseline: ")[1:]
    table = "".join(["baseline: ", table.partition("\nDifference from")[0]]).replace(f"{folder.path.parent}/", "")
    draw("confirm", f"convnn confirm {folder.name} --top 3", Group(Text(table.rstrip())), WIDE)


if __name__ == "__main__":
    main()
