"""A headless Chromium, by chromium-driver and python3-selenium."""
import shutil

import pytest

from harness import PATIENCE


def browser(directory, dark=False, size=(1400, 1000)):
    """A browser of its own; skips where there is none, except where CI has installed it."""
    webdriver = pytest.importorskip("selenium.webdriver")
    if not shutil.which("chromedriver") or not shutil.which("chromium"):
        pytest.skip("needs chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-first-run", "--disable-background-networking", "--force-color-profile=srgb",
                     "--force-prefers-reduced-motion", f"--user-data-dir={directory}/browser",
                     f"--window-size={size[0]},{size[1]}"):
        options.add_argument(argument)
    if dark:
        options.add_argument("--force-dark-mode")
        options.add_argument("--blink-settings=preferredColorScheme=0")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = pytest.importorskip("selenium.webdriver.chrome.service").Service
    driver = webdriver.Chrome(options=options, service=service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(PATIENCE)
    return driver


def complaints(driver):
    """What the browser says of the page: violations of its policy, errors of its script."""
    return [entry["message"] for entry in driver.get_log("browser")
            if entry["level"] == "SEVERE" and entry["source"] != "network"]
