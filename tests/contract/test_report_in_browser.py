"""The report page does what it promises in a real browser that reaches nothing but the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from report_browser import BROWSER, DESKTOP, DRIVER, PHONE, click, one, several, until, visit
from report_examples import (
    HOSTILE,
    N_LONG_ROWS,
    ieee123_conclusion,
)
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.remote.webelement import WebElement

from g2g_opt.feeder import Feeder

pytestmark = [
    pytest.mark.xdist_group("browser"),  # one worker, so that one browser is started
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None,
        reason="needs Chromium (or Chrome) and chromedriver on the PATH, e.g. apt-get install chromium chromium-driver",
    ),
]


def column(table: WebElement, number: int) -> list[str]:
    script = (
        "return Array.from(arguments[0].querySelectorAll(`tbody td:nth-child(${arguments[1]})`), c => c.textContent)"
    )
    return table.parent.execute_script(script, table, number)  # type: ignore[no-any-return]


def bus_markers(browser: Chrome) -> dict[str, str]:
    """Fill of every bus's marker as drawn, by bus."""
    script = """
        const map = document.getElementById("map"), found = {};
        map.querySelectorAll(".scatterlayer .trace").forEach((drawn) => {
            const trace = drawn.__data__[0].trace;
            if (trace.meta !== "buses") return;
            drawn.querySelectorAll("path.point").forEach((point, n) => {
                found[trace.customdata[n]] = getComputedStyle(point).fill;
            });
        });
        return found;"""
    return browser.execute_script(script)  # type: ignore[no-any-return]


@pytest.mark.parametrize("page", ["ieee123", "user"])
@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")])
def test_the_page_opens_without_errors_or_requests_and_begins_with_the_answer(
    page: str, size: tuple[int, int], scheme: str, browser: Chrome, pages: dict[str, Path]
) -> None:
    browser.get_log("browser")
    visit(browser, pages[page], size, scheme)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.title.startswith("Hosting capacity of"), "hostile texts have not run"
    answer = one(browser, "#answer")
    assert "hosts" in answer.text
    bottom, width = browser.execute_script(
        "return [arguments[0].getBoundingClientRect().bottom, document.documentElement.scrollWidth]", answer
    )
    assert 0 < bottom < size[1], "the answer is seen without scrolling"
    assert width <= size[0], "the page does not scroll sideways"
    for section in ("the-map", "results", "failures", "not-assessed", "provenance"):
        assert one(browser, f"#{section} h2").is_displayed()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_a_screenshot_of_the_map_shows_the_map(
    size: tuple[int, int], scheme: str, browser: Chrome, pages: dict[str, Path]
) -> None:
    visit(browser, pages["ieee123"], size, scheme)
    pixels = matplotlib.image.imread(io.BytesIO(one(browser, "#map").screenshot_as_png))
    colours = np.unique((pixels[..., :3] * 255).astype(np.uint8).reshape(-1, 3), axis=0)
    assert len(colours) > 200
    page_colour = pixels[5, 5, :3]
    assert (page_colour.mean() > 0.9) == (scheme == "light")
    assert (np.abs(pixels[..., :3] - page_colour).max(axis=2) > 0.2).mean() > 0.01


def test_the_map_has_a_marker_per_bus_and_names_those_that_have_no_place(
    browser: Chrome, pages: dict[str, Path]
) -> None:
    visit(browser, pages["ieee123"])
    feeder = Feeder.load("ieee123")
    placed = {name for name, bus in feeder.buses.items() if bus.xy is not None}
    assert set(bus_markers(browser)) == placed
    assert "300_open, 94_open" in one(browser, "#the-map .unplaced:not([hidden])").text
    visit(browser, pages["user"])
    assert len(bus_markers(browser)) == 9
    assert "layout was computed from its topology" in one(browser, "#the-map").text


def test_switching_maps_changes_the_colours(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    firm = bus_markers(browser)
    valued = ieee123_conclusion().maps[0].value_by_bus
    empty = {firm[bus] for bus in firm if bus not in valued}
    assert len(empty) == 1, "buses without a figure have one colour"
    assert len({firm[bus] for bus in valued}) > 20
    buttons = several(browser, "[data-switch=map] button")
    click(browser, buttons[1])
    assert [button.get_attribute("aria-pressed") for button in buttons] == ["false", "true", "false"]
    until(browser, "return document.getElementById('map').data.some(t => t.name === 'Flexible capacity')")
    flexible = bus_markers(browser)
    assert set(flexible) == set(firm)
    assert sum(flexible[bus] != firm[bus] for bus in firm) > 20
    labels = [text.text for text in several(browser, "#map .textpoint")]
    assert any(label.endswith("second <b>&</b>") for label in labels), "a mark is shown as it is written"


def test_hovering_a_bus_tells_its_name_value_and_text(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    conclusion = ieee123_conclusion()
    click(browser, several(browser, "[data-switch=map] button")[1])
    (bus,) = conclusion.maps[1].text_by_bus
    script = """
        const map = document.getElementById("map"), bus = arguments[0];
        map.scrollIntoView({block: "center"});
        const trace = map._fullData.findIndex(t => t.meta === "buses" && t.customdata.includes(bus));
        const points = map.querySelectorAll(".scatterlayer .trace")[trace].querySelectorAll("path.point");
        const box = points[map._fullData[trace].customdata.indexOf(bus)].getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];"""
    x, y = browser.execute_script(script, bus)
    actions = ActionChains(browser)
    actions.w3c_actions.pointer_action.move_to_location(round(x) - 3, round(y))
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.perform()
    until(browser, "return document.querySelector('#map .hoverlayer .hovertext') !== null")
    told = browser.execute_script("return document.querySelector('#map .hoverlayer .hovertext').textContent")
    assert told.startswith(bus)
    assert f"{conclusion.maps[1].value_by_bus[bus]:.4f}".rstrip("0") in told
    assert "<script>document.title='broken'</script>" in told
    assert "phases ABC" in told


def test_the_legend_hides_what_is_clicked(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    items = several(browser, "#map .legend .traces")
    names = [item.text for item in items]
    assert names == ["lines", "transformers", "regulators", "no figure"]
    click(browser, one(items[3], ".legendtoggle"))
    until(browser, "return document.getElementById('map')._fullData.some(t => t.visible === 'legendonly')")
    until(browser, "return document.querySelectorAll('#map path.point').length < 100")
    assert set(bus_markers(browser)) == set(ieee123_conclusion().maps[0].value_by_bus)


def test_a_click_on_a_header_sorts_upwards_then_downwards_with_missing_figures_last(
    browser: Chrome, pages: dict[str, Path]
) -> None:
    visit(browser, pages["ieee123"])
    table = one(browser, "#results figure.table")
    before = column(table, 2)
    assert before.count("–") == 3
    heads = several(table, "thead th")
    for direction, reverse in (("ascending", False), ("descending", True)):
        click(browser, one(heads[1], "button"))
        assert heads[1].get_attribute("aria-sort") == direction
        megawatts = column(table, 2)
        assert sorted(megawatts) == sorted(before)
        assert megawatts[-3:] == ["–"] * 3
        known = [float(text) for text in megawatts[:-3]]
        assert known == sorted(known, reverse=reverse)
    click(browser, one(heads[0], "button"))
    assert heads[1].get_attribute("aria-sort") == "none"
    buses = column(table, 1)
    whole = [int(bus) for bus in buses if bus.isdigit()]
    assert whole == sorted(whole), "bus 9 comes before bus 10"


def test_the_filter_and_the_pages_of_a_long_table(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    fold = one(browser, "#results details")
    table = one(fold, "figure.table")
    assert not table.is_displayed()
    click(browser, one(fold, "summary"))
    assert table.is_displayed()
    count, words = one(table, ".count"), one(table, "input[type=search]")
    assert count.text == f"rows 1 to 100 of {N_LONG_ROWS:,}"
    assert len(several(table, "tbody tr")) == 100
    earlier, later = several(table, ".pager button")
    assert not earlier.is_enabled()
    click(browser, later)
    assert count.text == f"rows 101 to 200 of {N_LONG_ROWS:,}"
    assert column(table, 1)[0] == "100"
    click(browser, one(table, "thead th:nth-child(5) button"))
    lowest = [float(text) for text in column(table, 5)]
    rows = ieee123_conclusion().tables[1].rows
    assert lowest == sorted(round(row["lowest_pu"], 4) for row in rows if row["lowest_pu"] is not None)[:100]
    words.send_keys("<IMG broken")
    assert count.text == f"1 found in {N_LONG_ROWS:,} rows"
    assert column(table, 7) == [HOSTILE]
    words.send_keys(" nowhere")
    assert column(table, 1) == ["no row holds all of these words"]
    words.clear()
    words.send_keys(" ")
    assert count.text == f"rows 1 to 100 of {N_LONG_ROWS:,}"
    assert "plans.csv" in table.text


def test_secondary_columns_and_empty_ones_wait_until_asked_for(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    table = one(browser, "#results figure.table")
    titles = [column.title for column in ieee123_conclusion().tables[0].columns]
    heads = several(table, "thead th")
    assert [head.is_displayed() for head in heads] == [title != "outside the band (s)" for title in titles]
    every = one(table, "input[type=checkbox]")
    assert f"all {len(titles)} columns" in one(table, ".tools").text
    click(browser, every)
    assert all(head.is_displayed() for head in heads)
    assert all(cell.is_displayed() for cell in several(table, "tbody tr:first-child td"))
    # A page of rows that the script draws keeps to it.
    click(browser, every)
    click(browser, one(heads[1], "button"))
    assert sum(cell.is_displayed() for cell in several(table, "tbody tr:first-child td")) == len(titles) - 1


def test_envelopes_can_be_chosen_and_show_their_limits(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    summary = one(browser, "#voltages .summary:not([hidden])").text
    assert "limits 0.95 to 1.05 pu" in summary
    shown = browser.execute_script("return document.getElementById('envelope').layout.shapes.map(s => s.y0)")
    assert shown == [0.95, 1.05]
    read = "return JSON.stringify(document.getElementById('envelope').data.map(t => t.y))"
    before = browser.execute_script(read)
    click(browser, several(browser, "[data-switch=envelope] button")[2])
    assert browser.execute_script(read) != before
    assert one(browser, "#voltages .summary:not([hidden])").text != summary
    assert len(several(browser, "#charts .plot .main-svg")) >= 2


def test_failures_and_limits_of_the_study_are_told_and_its_provenance_unfolds(
    browser: Chrome, pages: dict[str, Path]
) -> None:
    visit(browser, pages["ieee123"])
    failures = one(browser, "#failures").text
    assert f"bus {HOSTILE}".replace("\u2028", " ")[:60] in failures
    assert "PowerFlowError: no solution in 300 iterations" in failures
    assert "Of 1,016 tasks: 1,013 done, 2 failed, 1 split." in failures
    assert len(several(browser, "#not-assessed li")) == 4
    for fold, held in zip(
        several(browser, "#provenance details"),
        ("g2g run", '["llama-3.1-70b"]', "no circuit", "0.61.2", "a3a3"),
        strict=True,
    ):
        content = one(fold, "pre, p, table")
        assert not content.is_displayed()
        click(browser, one(fold, "summary"))
        assert content.is_displayed()
        assert held in content.text
    visit(browser, pages["user"])
    assert "Candidates without an answer: none." in one(browser, "#failures").text
    assert one(browser, "#not-assessed").is_displayed()


def test_printing_unfolds_everything_on_white(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["user"], scheme="dark")
    folds = "return Array.from(document.querySelectorAll('details'), d => d.open)"
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert set(browser.execute_script(folds)) == {True}
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert set(browser.execute_script(folds)) == {False}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    colour: Any = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert colour == "rgb(255, 255, 255)"


def test_charts_draw_limits_bars_names_and_constants_as_such(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["wide"])
    plots = browser.execute_script(
        "return Array.from(document.querySelectorAll('#charts .plot'), p => ({"
        "shapes: p.layout.shapes.map(s => s.y0), names: p.layout.annotations.map(a => a.text),"
        "range: p._fullLayout.yaxis.range, "
        "colours: p.data.map(t => t.line.color), dashes: p.data.map(t => t.line.dash),"
        "y: p.data.map(t => t.y)}))"
    )
    voltage, constant, many = plots
    assert voltage["shapes"] == [0.95, 1.05]
    assert voltage["names"] == ["end.A: lowest with"]
    assert voltage["y"][1] == [0.951, 0.99, None], "a bar from the lowest to the highest"
    assert voltage["colours"][0] == voltage["colours"][1]
    assert constant["range"] == pytest.approx([2.7, 3.3])
    assert len(set(zip(many["colours"], many["dashes"], strict=True))) == 9
