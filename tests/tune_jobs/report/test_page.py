"""The page, whatever state the sweep is in."""

import json
import math
import re
from html.parser import HTMLParser

import pytest

from tests.tune_jobs.report.drawn import Sweep, words


class Outside(HTMLParser):
    """Collects what a page loads, or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {f"{tag} {v}" for k, v in attrs if k in ("src", "href", "srcset", "data") and v and v[0] != "#"}
        self.found |= {tag} & {"link", "iframe", "object", "img", "base", "form"}


def test_the_page_loads_nothing_and_browsers_hold_it_to_that(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    page, parser = sweep.page(), Outside()
    parser.feed(page)
    assert parser.found == set()
    assert "content=\"default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval';" in page
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_the_numbers_of_the_page_are_the_ledgers(sweep: Sweep) -> None:
    values = [math.sqrt(number) / 10 for number in range(1, 41)]
    for value in values:
        sweep.trial([value], "complete")
    page = sweep.page()
    assert [float(value) for value in re.findall(r'data-value="(.*?)"', page)] == sorted(values, reverse=True)
    assert "Best: 63.25% val/accuracy, trial 40, epoch 1 of 9" in words(page)
    assert "show all 40 trials" in page


def test_what_users_write_is_shown_and_not_obeyed(sweep: Sweep) -> None:
    sweep.trial([], "failed", "</script><script>alert('reason')</script>", "user_error")
    page = sweep.page()
    assert "&lt;script&gt;alert(&#x27;reason&#x27;)&lt;/script&gt;" in page
    assert "alert('reason')" not in page
    assert "# &lt;b&gt;not bold&lt;/b&gt;" in page


def test_a_sweep_that_runs_is_drawn_as_it_stands(sweep: Sweep) -> None:
    sweep.trial([0.5, 0.6], None)
    assert words(sweep.page()).startswith("drawn drawn unfinished maximize val/accuracy. Best: 60.00%")
    (sweep.folder.path / "driver.json").write_text('{"host": "another one", "pid": 1, "since": 0}')
    assert "drawn running maximize" in words(sweep.page())
    (curve,) = sweep.figures()["learning-curves"]["data"]
    assert (curve["x"], curve["y"]) == ([1, 2], [0.5, 0.6])


@pytest.mark.parametrize("trials", [0, 1])
def test_a_sweep_without_a_number_says_so(sweep: Sweep, trials: int) -> None:
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


def test_how_to_reproduce_it_has_the_file_and_the_best_trials(sweep: Sweep) -> None:
    lr = sweep.trial([0.5], "complete")
    start = {"command": ["/bin/convnn", "run", "my file.yaml"], "git": {"sha": "abc123", "dirty": True, "diff": ""}}
    rest = {"packages": {"torch": "2.11"}, "data_digests": {"cifar10": "d1"}, "image": "convnn:7"}
    later = {**start, **rest, "command": ["convnn", "resume", "drawn"], "packages": {"torch": "2.12"}}
    sweep.folder.manifest.write_text(json.dumps({"starts": [{**start, **rest}, later]}))
    said = words(sweep.page())
    for text in (
        "convnn run drawn.yaml --set name=drawn-again",
        "convnn run &#x27;my file.yaml&#x27;",
        "It was started 2 times, and not always with the same",
        "abc123, with uncommitted changes",
        "torch 2.11 / then 2.12",
        "image convnn:7",
    ):
        assert text in said
    assert "search: {sampler: random, trials: 1000}" in said
    assert f"lr: {lr}" in said
