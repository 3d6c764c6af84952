"""The page of a host assessment in a real browser: it fits, it is accessible, it prints.

Needs Chromium; the checks of accessibility also need axe-core: npm ci --prefix tests/axe
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hostrisk.report.host import render_html
from tests.test_host_report import LONG_NAME, bare_host, busy_host, make_record

pytest.importorskip("matplotlib", reason="the charts need hostrisk[host]")

if TYPE_CHECKING:
    from collections.abc import Iterator

AXE = Path(__file__).parent / "axe/node_modules/axe-core/axe.min.js"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60
A4_INCHES = {"paperWidth": 8.27, "paperHeight": 11.69}

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on the PATH")
needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="needs axe-core: npm ci --prefix tests/axe"
)


class Browser:
    """A tab of a headless Chromium, steered over its DevTools pipe."""

    def __init__(self, profile: Path) -> None:
        there, self.out = os.pipe()
        self.inn, back = os.pipe()
        # Chromium reads commands from file descriptor 3 and writes to 4.
        launch = ["bash", "-c", f'exec "$@" 3<&{there} 4>&{back}', "bash"]
        self.process = subprocess.Popen(
            [*launch, CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(there, back), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(there)
        os.close(back)
        self.rest, self.numbers, self.session = b"", itertools.count(1), ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        os.close(self.out)
        os.close(self.inn)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data) :]
        while True:
            answer = self.read()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def read(self) -> dict[str, Any]:
        """Take one message from the pipe; events are kept."""
        end = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.inn], [], [], max(0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            got = os.read(self.inn, 1 << 16)
            assert got, "the browser has ended"
            self.rest += got
        message, _, self.rest = self.rest.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    def show(self, path: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.read()

    def evaluate(self, code: str) -> Any:
        found = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[dict[str, Any]]:
        wanted = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        self.evaluate("0")
        return [event for event in self.events if event["method"] in wanted]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


PAGES = {
    "one": [busy_host()],
    "several": [busy_host(), busy_host(LONG_NAME), bare_host()],
    "bare": [bare_host(LONG_NAME)],
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, hosts in PAGES.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(render_html(make_record(*hosts)), encoding="utf-8")
    return found


OPEN_ALL = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"
# Elements that reach out of the page and do not lie in a box that scrolls.
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(node => !node.closest('.scroll') || node.matches('.scroll'))
  .filter(node => !node.closest('svg') || node.matches('svg'))
  .filter(node => node.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(node => node.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 390, 768, 1366])
def test_page_fits(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.show(pages[name], width=width)
    browser.evaluate(OPEN_ALL)
    inner = "document.documentElement.clientWidth"
    assert browser.evaluate(inner) == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(TOO_WIDE) == []
    assert browser.complaints() == []


DRAWINGS = (
    "[...document.querySelectorAll('svg.drawing')].filter(svg => svg.getClientRects().length)"
)
WORDS_OUTSIDE = f"""
{DRAWINGS}.flatMap(svg => {{
  const all = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {{
    const box = text.getBoundingClientRect();
    return box.left < all.left - 1 || box.right > all.right + 1
      || box.top < all.top - 1 || box.bottom > all.bottom + 1;
  }}).map(text => text.textContent);
}})
"""
LOWEST_LINES = f"""
{DRAWINGS}.map(svg => [svg.querySelector('title').id, Math.min(
  ...[...svg.querySelectorAll('text')].map(text => text.getBoundingClientRect().height))])
"""


@pytest.mark.parametrize("width", [320, 390, 768, 1366])
def test_one_drawing_of_each_chart_is_seen_and_its_words_can_be_read(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    browser.show(pages["one"], width=width)
    seen = browser.evaluate(LOWEST_LINES)
    kind = "narrow" if width < 544 else "wide"
    names = ("weeks", "kinds", "targets", "curve", "backlog")
    assert [title for title, _ in seen] == [f"host-1-{name}-{kind}-title" for name in names]
    assert min(height for _, height in seen) > 10  # of a line; its letters are 9 pixels
    assert browser.evaluate(WORDS_OUTSIDE) == []


def test_a_link_of_the_ranking_opens_its_host(browser: Browser, pages: dict[str, Path]) -> None:
    browser.show(pages["several"], width=1366)
    opened = "[...document.querySelectorAll('details.host')].map(fold => fold.open)"
    assert browser.evaluate(opened) == [True, False, False]
    browser.evaluate("document.querySelector('a[href=\"#host-3\"]').click()")
    end = time.monotonic() + 10
    while browser.evaluate(opened) != [True, False, True] and time.monotonic() < end:
        time.sleep(0.05)
    assert browser.evaluate(opened) == [True, False, True]


def test_print_shows_every_host_and_table_but_folded_posts(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.show(pages["several"], width=700)
    browser.call("Emulation.setEmulatedMedia", media="print")
    heights = browser.evaluate(
        "['details.host:not([open])', 'details.figures', 'details.posts'].map(wanted => "
        "document.querySelector(wanted).getBoundingClientRect().height)"
    )
    browser.call("Emulation.setEmulatedMedia", media="")
    assert heights[0] > 600
    assert heights[1] > 200
    assert 0 < heights[2] < 60
    pdf = browser.call("Page.printToPDF", preferCSSPageSize=True, **A4_INCHES)["data"]
    assert len(pdf) > 50_000


@needs_axe
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366])
@pytest.mark.parametrize("name", ["several", "bare"])
def test_page_is_accessible(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    # Scripts of the page stay forbidden; only what the test puts in runs.
    browser.call("Page.setBypassCSP", enabled=True)
    browser.show(pages[name], width=width, dark=dark)
    browser.evaluate(OPEN_ALL)
    browser.evaluate(f"{AXE.read_text(encoding='utf-8')}\n;0")
    found = browser.evaluate(
        "axe.run().then(found => ({passes: found.passes.length, violations: found.violations.map("
        "one => [one.id, one.impact, one.nodes.length, one.nodes[0].html.slice(0, 200),"
        "one.nodes[0].failureSummary])}))"
    )
    browser.call("Page.setBypassCSP", enabled=False)
    assert found["passes"] > 15
    assert found["violations"] == []
