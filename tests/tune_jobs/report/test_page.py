"""The report page, for a sweep in any state."""

import base64
import hashlib
import html
import json
import math
import re
from html.parser import HTMLParser

import pytest

from tests.tune_jobs.report.drawn import Sweep, words
from tests.tune_jobs.report.hostile import (
    HARMLESS,
    HOSTILE,
    LEDGER,
    ROUNDS,
    Structure,
    columns_of_text,
    drawn,
    fill,
    metrics,
)
from tune_jobs.record.folder import SweepFolder
from tune_jobs.report import write_report


class Outside(HTMLParser):
    """Collects what a page loads or links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {f"{tag} {v}" for k, v in attrs if k in ("src", "href", "srcset", "data") and v and v[0] != "#"}
        self.found |= {tag} & {"link", "iframe", "object", "img", "base", "form"}


def test_the_page_loads_nothing_and_its_policy_forbids_it(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    page, parser = sweep.page(), Outside()
    parser.feed(page)
    assert parser.found == set()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_the_numbers_of_the_page_are_those_of_the_ledger(sweep: Sweep) -> None:
    values = [math.sqrt(number) / 10 for number in range(1, 41)]
    for value in values:
        sweep.trial([value], "complete")
    page = sweep.page()
    assert [float(value) for value in re.findall(r'data-value="(.*?)"', page)] == sorted(values, reverse=True)
    assert "Best: 63.25% val/accuracy, trial 40, epoch 1 of 9" in words(page)
    assert "show all 40 trials" in page


def test_a_running_sweep_has_a_report(sweep: Sweep) -> None:
    sweep.trial([0.5, 0.6], None)
    assert words(sweep.page()).startswith("drawn drawn unfinished maximize val/accuracy. Best: 60.00%")
    (sweep.folder.path / "driver.json").write_text('{"host": "another one", "pid": 1, "since": 0}')
    assert "drawn running maximize" in words(sweep.page())
    (curve,) = sweep.figures()["learning-curves"]["data"]
    assert (curve["x"], curve["y"]) == ([1, 2], [0.5, 0.6])


@pytest.mark.parametrize("trials", [0, 1])
def test_a_sweep_without_values_says_so(sweep: Sweep, trials: int) -> None:
    for _ in range(trials):
        sweep.trial([], None)
    said = words(sweep.page())
    assert "No trial has a value yet." in said
    assert "No trial has finished an epoch yet." in said
    assert sweep.figures() == {}


def test_one_trial_is_enough_for_a_page(sweep: Sweep) -> None:
    sweep.trial([0.5] * 9, "complete", params=10.0, gflops=0.5)
    assert sweep.figures().keys() == {"learning-curves", "pareto", "stopping"}
    assert "This needs two trials with a value" in sweep.page()


def test_the_reproduce_section_has_the_sweeps_file_and_the_best_trials(sweep: Sweep) -> None:
    lr = sweep.trial([0.5], "complete")
    start = {"command": ["/bin/convnn", "run", "my file.yaml"], "git": {"sha": "abc123", "dirty": True, "diff": ""}}
    rest = {"packages": {"torch": "2.11"}, "data_digests": {"cifar10": "d1"}, "image": "convnn:7"}
    later = {**start, **rest, "command": ["convnn", "resume", "drawn"], "packages": {"torch": "2.12"}}
    sweep.folder.manifest.write_text(json.dumps({"starts": [{**start, **rest}, later]}))
    page = sweep.page()
    said = words(page)
    assert "<details><summary>The sweep's file" in html.unescape(page)  # closed until a reader opens it
    for text in (
        "convnn run drawn.yaml --set name=drawn-again",
        "convnn run &#39;my file.yaml&#39;",
        "It was started 2 times, with different versions",
        "abc123, with uncommitted changes",
        "torch 2.11 / then 2.12",
        "image convnn:7",
    ):
        assert text in said
    assert "search: {sampler: random, trials: 1000}" in said
    assert f"lr: {lr}" in said


SHOWN = {
    "trials.state",
    "trials.reason",
    "requests.why",
    "attempts.failure",
    "meta.value",
    "started",
    "halted",
    "sweep.yaml",
    "manifest.json",
}
"""The places whose text is shown on a page; the others are for programs, or are paths."""


def test_every_text_column_is_covered(sweep: Sweep) -> None:
    assert {
        name for name in columns_of_text(sweep.ledger) if not name.endswith((".run_key", ".repeat_of"))
    } == LEDGER.keys()


@pytest.mark.parametrize("places", ROUNDS)
def test_text_of_a_sweep_is_text_on_its_page(sweep: Sweep, places: list[str]) -> None:
    drawn(sweep)
    fill(sweep, places, HARMLESS)
    harmless = Structure(sweep.page())
    fill(sweep, places, HOSTILE)
    hostile = Structure(sweep.page())
    assert hostile.elements == harmless.elements
    assert hostile.programs == harmless.programs
    assert {place for place in places if f"{place} {HOSTILE}" in hostile.text} == SHOWN & set(places)


def test_the_name_of_a_sweep_is_text_on_its_page(sweep: Sweep) -> None:
    name = HOSTILE.replace("/", "")[:80]
    drawn(sweep)
    harmless = Structure(sweep.page())
    hostile = Structure(
        write_report(SweepFolder(sweep.folder.path.rename(sweep.folder.path.parent / name))).report.read_text()
    )
    assert hostile.elements == harmless.elements
    assert hostile.text.count(name) >= 2


def test_a_lone_surrogate_does_not_prevent_a_report(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    metrics(sweep, "half a pair \ud800")
    sweep.page(csv=True)
    assert "half a pair \\ud800" in (sweep.folder.path / "epochs.csv").read_text()


def test_the_policy_allows_only_the_pages_own_scripts(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    found = Structure(sweep.page())
    policy = {name: set(values) for name, *values in (each.split() for each in found.policy.split(";"))}
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found.programs}
    assert len(hashes) == 2
    assert policy == {
        "default-src": {"'none'"},
        "script-src": {"'unsafe-eval'", *(f"'sha256-{each}'" for each in hashes)},
        "style-src": {"'unsafe-inline'"},
        "img-src": {"data:", "blob:"},
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
    }
    assert not [name for _, *names in found.elements for name in names if name.startswith("on")]
