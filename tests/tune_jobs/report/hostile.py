"""Text in a sweep that would run code, or end an element, if a page used it as HTML."""

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from html.parser import HTMLParser

from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.record.environment import Environment
from tune_jobs.record.ledger import Ledger

HOSTILE = (
    "\"'><img src=x onerror=document.title='ran'></script></style></pre><!--<script>document.title='ran'</script>"
    "{{ 7 * 7 }}{% raw %}&lt;<a href=\"javascript:document.title='ran'\" onclick=document.title='ran'>"
    "<meta http-equiv=refresh content='0;url=https://elsewhere.example'>"
)
HARMLESS = "a word"

Put = Callable[[Sweep, str], None]


def drawn(sweep: Sweep) -> None:
    """Add trials of every state, several seeds, and every kind of text."""
    size = {"params": 7.0, "gflops": 0.25}
    for value in (0.5, 0.6, 0.7):
        sweep.trial([value / 2, value], "complete", size=size)
    sweep.trial([0.1], "stopped", "not among the best", size=size)
    sweep.trial([0.1], "diverged", "loss is nan", "diverged")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    sweep.trial([0.4, 0.8], "complete", size=size)
    sweep.ledger.add_request(sweep.ledger.trials()[-1].run_key, "exclude", "wrong images")
    for trial in sweep.ledger.trials():
        sweep.ledger.set_host(trial.run_key, 1, "a machine")
        sweep.ledger.set_origin(trial.run_key, 1, 0, "a checkpoint is damaged", "cpu")
        sweep.ledger.set_tracked(trial.run_key, 1, "a run", 1, "complete")
    sweep.ledger.add_ask({"space.training.lr": 1e-3}, "duplicate", None)


def column(table: str, name: str) -> Put:
    """Put the text into every row of the column."""

    def put(sweep: Sweep, text: str) -> None:
        sweep.ledger._db.execute(f"UPDATE {table} SET {name} = ?", (text,))  # noqa: S608 - names of ours

    return put


def decisions(sweep: Sweep, text: str) -> None:
    """Put the text into the sampler's decisions."""
    column("asks", "decisions")(sweep, json.dumps({text: text}))


def metrics(sweep: Sweep, text: str) -> None:
    """Use the text as the name of another metric."""
    column("epochs", "metrics")(sweep, json.dumps({text: 0.5, "val/accuracy": 0.5}))


def environment(sweep: Sweep, text: str) -> None:
    """Put the text into the training environment."""
    found = Environment(1, text, text, {text: text}, text, 2)
    column("attempts", "environment")(sweep, json.dumps(asdict(found)))


def config(sweep: Sweep, text: str) -> None:
    """Use the text as the folder of the images."""
    for trial in sweep.ledger.trials():
        content = json.loads(trial.config.model_dump_json(by_alias=True))
        content["data"]["root"] = text
        sweep.ledger._db.execute("UPDATE trials SET config=? WHERE run_key=?", (json.dumps(content), trial.run_key))


def objective(sweep: Sweep, text: str) -> None:
    """Use the text as the name of the objective."""
    sweep.ledger.meta.metric = text
    column("epochs", "metrics")(sweep, json.dumps({text: 0.5}))


def meta(name: str) -> Put:
    """Put the text into an entry of the sweep's metadata."""

    def put(sweep: Sweep, text: str) -> None:
        content = json.dumps({"cause": text, "message": text}) if name == "halted" else text
        sweep.ledger._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (name, content))

    return put


LEDGER: dict[str, Put] = {
    "asks.decisions": decisions,
    "asks.outcome": column("asks", "outcome"),
    "trials.config": config,
    "trials.state": column("trials", "state"),
    "trials.reason": column("trials", "reason"),
    "trials.role": column("trials", "role"),
    "attempts.state": column("attempts", "state"),
    "attempts.reason": column("attempts", "reason"),
    "attempts.failure": column("attempts", "failure"),
    "attempts.note": column("attempts", "note"),
    "attempts.host": column("attempts", "host"),
    "attempts.device": column("attempts", "device"),
    "attempts.environment": environment,
    "epochs.metrics": metrics,
    "tracked.mlflow_run": column("tracked", "mlflow_run"),
    "tracked.shipped_state": column("tracked", "shipped_state"),
    "requests.asked": column("requests", "asked"),
    "requests.why": column("requests", "why"),
    "meta.key": lambda sweep, text: meta(text)(sweep, text),
    "meta.value": objective,
}
"""For each text column, how to fill it. Of a run key, only the text of a name is read."""

META: dict[str, Put] = {
    name: meta(name)
    for name in ("goal", "started", "halted", "tracker", "tracker_experiment", "tracker_experiment_id", "sweep_id")
}


def file(sweep: Sweep, text: str) -> None:
    """Put the text into a comment of the sweep's file."""
    sweep.folder.spec.write_text(f"{sweep.folder.spec.read_text()}# {text}\n")


def manifest(sweep: Sweep, text: str) -> None:
    """Put the text into every field of a start in the manifest."""
    start = {
        "command": [text, text],
        "git": {"sha": text, "dirty": True, "diff": text},
        "packages": {text: text},
        "data_digests": {text: text},
        **dict.fromkeys(("image", "image_digest", "python", "platform"), text),
    }
    sweep.folder.manifest.write_text(json.dumps({"starts": [start]}))


def driver(sweep: Sweep, text: str) -> None:
    """Put the text into the record of the driver."""
    (sweep.folder.path / "driver.json").write_text(json.dumps({"host": text, "pid": 1, "since": 0}))


FILES: dict[str, Put] = {"sweep.yaml": file, "manifest.json": manifest, "driver.json": driver}
EVERYWHERE = LEDGER | META | FILES
ALONE = ["trials.state", "requests.asked"]
ROUNDS = [[place for place in EVERYWHERE if place not in ALONE], ALONE]
"""Places that can hold such a text together: some invalid states have no reason, and unknown requests have none."""


def fill(sweep: Sweep, places: Iterable[str], text: str) -> None:
    """Put the text into each of these places, prefixed with the place's name."""
    for place in places:
        EVERYWHERE[place](sweep, f"{place} {text}")


def columns_of_text(ledger: Ledger) -> set[str]:
    """Return all text columns of the ledger."""
    with closing(ledger._db.execute("SELECT name FROM sqlite_master WHERE type='table'")) as tables:
        names = [name for (name,) in tables]
    return {
        f"{table}.{column}"
        for table in names
        for _, column, kind, *_ in ledger._db.execute(f"PRAGMA table_info({table})")
        if kind == "TEXT"
    }


class Structure(HTMLParser):
    """The structure of a page: its elements and attribute names; and separately its texts and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.programs: list[str] = []
        self.policy = ""
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        given = dict(attrs)
        self._inside = "data" if "type" in given and tag == "script" else tag
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}",))
        self._inside = ""

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", data))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.programs.append(data)
        elif self._inside not in ("data", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """Everything that a reader sees."""
        return "".join(self.texts)
