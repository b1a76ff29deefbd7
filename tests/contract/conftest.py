"""A browser with pages in it, and what is left when the code blocks of the guide were run."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from guide_spaces import (
    Space,
    guide_blocks,
    our_blocks,
    run_blocks,
)
from report_browser import BROWSER, DRIVER
from report_examples import (
    PROVENANCE,
    TASKS,
    ieee123_conclusion,
    user_conclusion,
    user_feeder,
    wide_conclusion,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from g2g_opt.feeder import Feeder
from studies.report.page import write_report
from studies.report.provenance import TaskStates


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--force-prefers-reduced-motion",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    feeder = Feeder.load("ieee123")
    return {
        "ieee123": write_report(ieee123_conclusion(), PROVENANCE, feeder, TASKS, folder / "ieee123.html"),
        "user": write_report(
            user_conclusion(), PROVENANCE, user_feeder(folder), TaskStates({"done": 4}), folder / "user.html"
        ),
        "wide": write_report(
            wide_conclusion(), PROVENANCE, user_feeder(folder), TaskStates({"done": 4}), folder / "wide.html"
        ),
    }


@pytest.fixture(
    scope="module",
    params=[pytest.param(source, marks=pytest.mark.xdist_group(f"guide-{source}")) for source in ("ours", "guide")],
)
def spaces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Space]:
    blocks = our_blocks() if request.param == "ours" else guide_blocks()
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        results = run_blocks(blocks)
    results["files"] = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return results
