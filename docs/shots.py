"""Takes the pictures of docs/study.md: python docs/shots.py RUN. The people on them are made up
(tests/study_people.py).

RUN is a finished run of the demo. Needs Chromium, and the development environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from shrinklm.study.design.folder import Study
from shrinklm.study.design.selection import create
from shrinklm.study.records.database import Records
from shrinklm.study.result import write as result
from study_people import answered, stored

HERE = Path(__file__).resolve().parent
CONDITIONS = ("multitask", "revised=multitask+counterfactual:revised=explain", "reference")
EFFECTS = {"revised": 0.25, "reference": 0.5}
TOKEN = "a token for pictures"
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def main() -> None:
    """All of them, of a study made from the run."""
    run = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        study = create(Path(folder) / "study", [run], CONDITIONS)
        text = (study.home / "study.yaml").read_text().replace("# contact: researcher", "contact: researcher")
        (study.home / "study.yaml").write_text(text)
        study = Study.read(study.home)
        records = Records(study.database)
        people = answered(study, study.people - 6, EFFECTS, careless=1, hasty=1, leaving=2)
        stored(records, *people)
        records.close()
        result.build(study, *people)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            pages(browser, study)
            page = browser.new_page(viewport={"width": 1100, "height": 1000})
            page.goto((study.home / "analysis" / "report.html").as_uri())
            shot(page, "study-result.png")
            browser.close()


def pages(browser: Browser, study: Study) -> None:
    """The pages of a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "shrinklm", "study", "serve", str(study.home), "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "SHRINKLM_STUDY_TOKEN": TOKEN}, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{base}/health", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        for name, options in (
            ("study-item.png", {"viewport": {"width": 1180, "height": 860}}),
            ("study-phone.png", {"viewport": {"width": 390, "height": 860}, "color_scheme": "dark"}),
        ):
            page = browser.new_page(**options)
            page.goto(base)
            page.get_by_label("I agree to take part").check()
            for button in ("Start", "Go on", "Next"):
                page.get_by_role("button", name=button).click()
            for key in "44354":
                page.keyboard.press(key)
            page.keyboard.press("Enter")
            page.wait_for_url("**/item/2")
            for key in "45":
                page.keyboard.press(key)
            page.evaluate("window.scrollTo(0, 0)")
            shot(page, name)
        page = browser.new_page(viewport={"width": 1100, "height": 1150})
        page.goto(f"{base}/researcher")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        shot(page, "study-researcher.png")
    finally:
        server.terminate()
        server.wait()


def shot(page: Page, name: str) -> None:
    """A picture; the browser may need a second try without a graphics card."""
    for left in range(5, -1, -1):
        try:
            page.screenshot(path=HERE / name)
            return
        except Exception:
            if not left:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    main()
