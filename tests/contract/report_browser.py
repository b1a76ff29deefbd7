"""A real browser and what tests ask of the page in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
DESKTOP, PHONE = (1280, 800), (400, 800)


def visit(browser: Chrome, page: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())
    until(browser, "return document.querySelectorAll('#map path.point').length > 0")


def until(browser: Chrome, script: str) -> None:
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script), f"never true: {script}")


def one(place: Chrome | WebElement, css: str) -> WebElement:
    return place.find_element(By.CSS_SELECTOR, css)


def several(place: Chrome | WebElement, css: str) -> list[WebElement]:
    return place.find_elements(By.CSS_SELECTOR, css)


def click(browser: Chrome, element: WebElement) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", element)
    element.click()
