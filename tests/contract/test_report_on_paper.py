"""A report printed by a real browser: nothing is cut off, nothing is missing."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from report_browser import BROWSER, DRIVER, click, one, several, visit
from selenium.webdriver import Chrome

pytestmark = [
    pytest.mark.xdist_group("browser"),  # one worker, so that one browser is started
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None,
        reason="needs Chromium (or Chrome) and chromedriver on the PATH, e.g. apt-get install chromium chromium-driver",
    ),
]

# A4 and Letter, in inches.
PAPERS = {"A4": (8.27, 11.69), "Letter": (8.5, 11.0)}
PAPER_WIDTH_PX = 680


def begin_printing(browser: Chrome) -> None:
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")


def end_printing(browser: Chrome) -> None:
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")


def printed_pages(browser: Chrome, paper: str) -> list[tuple[float, float]]:
    """Width and height (points) of the pages that the browser itself prints."""
    width, height = PAPERS[paper]
    options = {"paperWidth": width, "paperHeight": height, "printBackground": True, "preferCSSPageSize": False}
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
    boxes = re.findall(rb"/Type\s*/Page\b(?:(?!endobj).)*?/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf, re.DOTALL)
    return [(float(w), float(h)) for w, h in boxes]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_report_of_a_feeder_is_a_few_pages_of_paper(paper: str, browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["user"])
    assert 2 <= len(printed_pages(browser, paper)) <= 4
    visit(browser, pages["ieee123"])
    found = printed_pages(browser, paper)
    # A table of 15,225 rows lies beside the page; one of 69 rows, three maps and two charts are printed.
    assert 5 <= len(found) <= 12
    assert len(set(found)) == 1


HEADS = """
    const table = document.querySelector("#results figure.table");
    return Array.from(table.querySelectorAll(".scroll"))
        .filter((part) => part.offsetParent !== null)
        .map((part) => Array.from(part.querySelectorAll("thead th"), (head) => head.textContent));"""
# Of everything that could reach beyond the paper: its class, where it ends, and how much of it is hidden.
REACH = """
    const left = document.querySelector("main").getBoundingClientRect().left;
    return Array.from(document.querySelectorAll("figure.table table, pre, .plot, dl, .pairs"))
        .filter((found) => found.offsetParent !== null)
        .map((found) => [
            found.className, found.getBoundingClientRect().right - left, found.scrollWidth - found.clientWidth,
        ]);"""
N_ROWS = "return Array.from(document.querySelectorAll('.printed'), (part) => part.querySelectorAll('tbody tr').length)"


@pytest.mark.parametrize("name", ["wide", "ieee123", "user"])
def test_on_paper_no_column_is_cut_off_and_none_is_missing(name: str, browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages[name])
    (before,) = browser.execute_script(HEADS)
    begin_printing(browser)
    reach = browser.execute_script(REACH)
    assert len(reach) >= 5
    assert [row for row in reach if row[1] > PAPER_WIDTH_PX + 0.5 or row[2] > 2] == []
    parts = browser.execute_script(HEADS)
    assert set(before) == {head for part in parts for head in part}
    if name == "wide":
        assert len(parts) >= 3
        assert all(part[:2] == ["bus", "operation"] for part in parts), "every part names its rows"
        assert set(browser.execute_script(N_ROWS)) == {8}
    end_printing(browser)
    assert browser.execute_script(HEADS) == [before], "the screen is as it was"
    assert several(browser, ".printed, .unprinted") == []


def test_on_paper_charts_are_drawn_and_long_tables_are_named_not_printed(
    browser: Chrome, pages: dict[str, Path]
) -> None:
    visit(browser, pages["ieee123"])
    begin_printing(browser)
    drawn = browser.execute_script(
        "return Array.from(document.querySelectorAll('.plot'), (plot) => "
        "[plot.offsetWidth, plot.querySelectorAll('.main-svg').length])"
    )
    assert len(drawn) == 4
    assert all(0 < width <= PAPER_WIDTH_PX and n_layers > 0 for width, n_layers in drawn)
    fold = one(browser, "#results details")
    assert fold.get_attribute("open") is None
    assert "plans.csv" in one(fold, "summary").text
    assert one(browser, "#provenance pre").is_displayed()
    maps = one(browser, "[data-switch=map]")
    assert [button.is_displayed() for button in several(maps, "button")] == [True, False, False]
    assert "one of 3" in maps.text
    end_printing(browser)
    assert not one(browser, "#results summary code").is_displayed()
    assert all(button.is_displayed() for button in several(browser, "[data-switch=map] button"))


def test_on_paper_a_long_table_that_is_open_stays_open(browser: Chrome, pages: dict[str, Path]) -> None:
    visit(browser, pages["ieee123"])
    click(browser, one(browser, "#results details summary"))
    begin_printing(browser)
    assert one(browser, "#results details figure.table").is_displayed()
    end_printing(browser)
    assert one(browser, "#results details").get_attribute("open") is not None
