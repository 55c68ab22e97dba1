"""A report in a real browser: text of a sweep runs nothing and hides no plot; and the choices of a reader."""

from pathlib import Path

import pytest

from tests.system.browser import Browser
from tests.tune_jobs.report.drawn import made
from tests.tune_jobs.report.hostile import HOSTILE, ROUNDS, drawn, fill
from tune_jobs.report.theme import ORDERED

PROGRAMS = (
    "<img src=x onerror=\"document.title = 'ran'\">",
    "<iframe src=\"javascript:parent.document.title = 'ran'\"></iframe>",
    "<a href=\"javascript:void(document.title = 'ran')\" id=led>link</a>",
    "<b onclick=\"document.title = 'ran'\" id=clicked>button</b>",
)
WRITE = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
document.body.insertAdjacentHTML("beforeend", arguments[0]);
for (const id of ["led", "clicked"]) document.getElementById(id).click();
const script = document.createElement("script");
script.textContent = "document.title = 'ran'";
document.body.append(script);
"""
"""Everything that a text could do if it became HTML."""


@pytest.fixture
def page(window: Browser, tmp_path: Path) -> Browser:
    with made(tmp_path) as sweep:
        drawn(sweep)
        fill(sweep, ROUNDS[0], HOSTILE)
        sweep.page()
        window.open(sweep.folder.report.as_uri())
    window.wait("all drawn", lambda: window.driver.execute_script("return document.documentElement.dataset.drawn"))
    return window


def test_hostile_text_is_read_and_the_plots_are_drawn(page: Browser) -> None:
    page.picture("report-hostile")
    assert page.driver.title == "drawn"
    assert page.text().count(HOSTILE[:40]) >= 3
    places = page.driver.find_elements("css selector", ".plot")
    assert len(places) >= 3
    for place in places:
        assert place.find_elements("css selector", ".main-svg"), place.text
    assert page.driver.find_elements("css selector", "canvas.gl-canvas-context, .parcoords canvas")
    assert page.driver.find_elements("css selector", "svg a, svg image, section img, section script") == []
    titles = page.driver.find_elements("css selector", ".ytitle")
    assert any(HOSTILE[:20] in str(title.get_property("textContent")) for title in titles)


def test_a_text_that_became_html_could_not_run_code(page: Browser) -> None:
    page.driver.execute_script(WRITE, "".join(PROGRAMS))
    page.wait("refusals", lambda: len(page.driver.execute_script("return refused")) > len(PROGRAMS))
    refused = page.driver.execute_script("return refused")
    assert {"script-src-elem", "script-src-attr", "img-src"} <= set(refused)
    assert page.driver.title == "drawn"


def test_the_reader_selects_the_cost_and_a_narrow_screen_hints_at_scrolling(window: Browser, tmp_path: Path) -> None:
    with made(tmp_path) as sweep:
        for value in (0.5, 0.6, 0.7):
            sweep.trial([value] * 9, "complete", epoch_s=2.0, params=7.0, gflops=value)
        sweep.page()
        window.open(sweep.folder.report.as_uri())
    run = window.driver.execute_script
    window.wait("all drawn", lambda: run("return document.documentElement.dataset.drawn"))
    axis = "return document.querySelector('#pareto .xtitle').textContent"
    assert run(axis) == "seconds per epoch (median)"
    window.click("//section[@id='pareto']//select/option[.='GFLOPs']")
    window.wait("the other axis", lambda: run(axis) == "GFLOPs of one image's forward pass")
    hints = "return document.querySelectorAll('#parallel-coordinates .sideways').length"
    assert run(hints) == 0
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        window.wait("a hint", lambda: run(hints) == 1)
    finally:
        window.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert run(axis) == "GFLOPs of one image's forward pass"  # drawn again, with the same selection


COLOR_BY = """
const choice = document.querySelector("select[data-of=learning-curves]");
choice.value = [...choice.options].find((option) => option.text === arguments[0]).value;
choice.dispatchEvent(new Event("change"));
"""
LINES = """
const { lines } = JSON.parse(document.getElementById("data").textContent).figures["learning-curves"].layout.meta;
const place = document.querySelector("[data-plot=learning-curves]");
return lines.map((line) => place.data[line].line.color);
"""


def test_curves_are_colored_by_the_selected_field(page: Browser) -> None:
    by_trial = page.driver.execute_script(LINES)
    page.driver.execute_script(COLOR_BY, "lr")
    page.wait("a scale", lambda: page.driver.find_elements("css selector", "[data-plot=learning-curves] .colorbar"))
    assert {ORDERED[0], ORDERED[-1]} < set(page.driver.execute_script(LINES))
    page.driver.execute_script(COLOR_BY, "trial")
    gone = "[data-plot=learning-curves] .colorbar"
    page.wait("no scale", lambda: not page.driver.find_elements("css selector", gone))
    assert page.driver.execute_script(LINES) == by_trial
