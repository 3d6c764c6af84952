"""The review page in a real browser, driven by its keys."""

from __future__ import annotations

import base64
import csv
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

import hostrisk

pytest.importorskip("starlette", reason="the review page needs the extra host")
pytest.importorskip("uvicorn", reason="the review page needs the extra host")

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SECONDS = 30
KEYS = {"Enter": (13, "\r"), "ArrowLeft": (37, ""), "ArrowRight": (39, ""), " ": (32, " ")}
# Puts two pipes where a browser looks for them, whatever their numbers are here.
PIPES = (
    "import fcntl, os, sys\n"
    "ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 20) for end in sys.argv[1:3]]\n"
    "os.dup2(ends[0], 3); os.dup2(ends[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)


class Browser:
    """A headless Chromium that is told what to do over two pipes, in the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", PIPES, str(theirs_in), str(theirs_out)),
                *(str(CHROMIUM), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"),
            ],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise LookupError(answer["error"]["message"])
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], deadline - time.monotonic())
            data = os.read(self._in, 1 << 20) if ready else b""
            assert data, "the browser does not answer"
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what a page's console would complain of, and what it loads from elsewhere."""
        method, about = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
            self.problems.append(json.dumps(about["args"]))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.problems.append(json.dumps(about["entry"]))
        elif method == "Network.requestWillBeSent":
            url = about["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "data:", "about:")):
                self.problems.append(f"asks for {url}")

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def ask(self, expression: str) -> Any:
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until the page says yes to an expression."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                if self.ask(f"document.readyState === 'complete' && !!({expression})"):
                    return
            except LookupError:  # the page is just being replaced
                pass
            time.sleep(0.02)
        raise AssertionError(
            f"{expression} never came true on: {self.ask('document.body.innerText')}"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            code, text = KEYS.get(key, (ord(key.upper()[0]), key))
            about = {"key": key, "windowsVirtualKeyCode": code}
            self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
            self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        os.close(self._in)
        os.close(self._out)


class Command:
    """`hostrisk review` as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        code = "import hostrisk.cli.reviewing; from hostrisk.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, "review", *arguments, "--no-browser"],
            env=os.environ | {"PYTHONPATH": str(Path(hostrisk.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]

    def end(self) -> str:
        """Wait until it ends by itself; return what it says last."""
        said, complaints = self.process.communicate(timeout=SECONDS)
        assert (self.process.returncode, complaints) == (0, "")
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


POSTS = {
    "p1": "we baked a cake <script>document.title = 'taken over'</script>",
    "p2": "time to hang the traitors on Saturday,\nbring rope",
    "p3": "I hope you all starve",
}


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(shared_browser: Browser) -> Browser:
    shared_browser.open("about:blank")
    shared_browser.size(1280, 800)
    shared_browser.problems.clear()
    return shared_browser


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "review.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *POSTS.items()])
    return path


@pytest.fixture
def command(sample: Path) -> Iterator[Command]:
    command = Command(str(sample))
    yield command
    command.close()


def labels(path: Path) -> dict[str, tuple[str, str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: (row["label"], row["kind"], row["target"]) for row in csv.DictReader(file)
        }


def shown_post(browser: Browser) -> str:
    return browser.ask("document.querySelector('#post bdi').textContent")


def at_post(number: int) -> str:
    return f"document.querySelector('#post[aria-label=\"Post {number}\"]')"


def begin(browser: Browser, command: Command) -> None:
    browser.open(command.address)
    browser.until("document.querySelector('[data-enter]')")
    assert browser.ask("location.pathname + location.search") == "/"
    browser.press("Enter")
    browser.until(at_post(1))


def test_three_posts_are_labeled_by_keys(browser: Browser, command: Command, sample: Path) -> None:
    begin(browser, command)
    for number in (1, 2, 3):
        identity = shown_post(browser)
        post = browser.ask("document.querySelector('.post').textContent")
        assert post == POSTS[identity]
        if identity == "p1":
            browser.press("n")
        elif identity == "p2":
            browser.press("1")
            browser.until("document.querySelector('#details')")
            assert labels(sample)["p2"] == ("1", "", "")
            browser.press("2", "t", *"poli", "Enter", *"wom", "Enter", "Enter")
        else:
            browser.press("v")
            browser.until("document.querySelector('#details')")
            browser.press("k", "k", "k", "k", "Enter")
        browser.until(at_post(number + 1) if number < 3 else "location.pathname === '/finish'")
    expected = {"p1": ("0", "", ""), "p3": ("1", "wish", "")}
    assert labels(sample) == expected | {"p2": ("1", "incitement", "politician,women")}
    browser.ask("document.querySelector('form button').click()")
    browser.until("document.body.innerText.includes('You can close this page')")
    assert "3 of 3 posts labeled, 2 as violent." in command.end()
    assert browser.problems == []


def test_undo_arrows_and_what_is_not_saved_yet(
    browser: Browser, command: Command, sample: Path
) -> None:
    begin(browser, command)
    first = shown_post(browser)
    browser.press("0")
    browser.until(at_post(2))
    browser.press("u")
    browser.until(at_post(1))
    assert labels(sample)[first] == ("", "", "")
    browser.until("document.querySelector('#status').textContent.startsWith('Undone')")
    browser.press("v")
    browser.until("document.querySelector('#details')")
    browser.press("3", "ArrowRight")  # leaves with a kind that Enter has not saved
    browser.until(at_post(2))
    assert labels(sample)[first] == ("1", "glorification", "")
    browser.press("Enter")
    browser.until("document.querySelector('#status').textContent.startsWith('Decide first')")
    browser.press("ArrowLeft")
    browser.until(f"{at_post(1)} && document.querySelector('[value=glorification]').checked")
    browser.press("n")
    browser.until(at_post(2))
    assert labels(sample)[first] == ("0", "", "")
    assert browser.problems == []


def test_highlights_blur_and_help(browser: Browser, command: Command) -> None:
    begin(browser, command)
    marked = (
        "getComputedStyle(document.querySelector('mark')).backgroundColor !== 'rgba(0, 0, 0, 0)'"
    )
    blurred = "getComputedStyle(document.querySelector('.post')).filter !== 'none'"
    while not browser.ask("document.querySelector('mark')?.textContent"):
        browser.press("ArrowRight")
        time.sleep(0.1)
    assert browser.ask(marked) is True
    browser.press("h")
    assert browser.ask(marked) is False
    browser.press("b")
    assert browser.ask(blurred) is True
    browser.press(" ")
    assert browser.ask(blurred) is False
    here = browser.ask("document.querySelector('#post').ariaLabel")
    browser.press("n")
    browser.until(f"document.querySelector('#post')?.ariaLabel !== '{here}'")
    assert browser.ask(blurred) is True  # each text anew
    browser.press("?")
    assert browser.ask("document.querySelector('#help').open") is True
    browser.press("n")  # labels nothing while the help is open
    browser.press("?")
    assert browser.ask("document.querySelector('#help').open") is False
    assert browser.ask("document.querySelector('.count').innerText") == "1 of 3"
    browser.press("b", "h")
    assert browser.problems == []


def test_keys_of_one_letter_can_be_switched_off(
    browser: Browser, command: Command, sample: Path
) -> None:
    begin(browser, command)
    browser.press("?")
    browser.ask("document.querySelector('#help [data-toggle=nokeys]').click()")
    browser.ask("document.querySelector('#help').close()")
    browser.press("n", "v", "1", "ArrowRight")
    browser.until(at_post(2))
    assert "label" not in sample.read_text(encoding="utf-8").partition("\n")[0]
    browser.ask("sessionStorage.clear()")
    assert browser.problems == []


@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)])
def test_everything_fits_the_width(
    browser: Browser, command: Command, width: int, *, mobile: bool
) -> None:
    browser.size(width, 844, mobile=mobile)
    begin(browser, command)
    browser.press("v")
    browser.until("document.querySelector('#details')")
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for _ in range(3):
        assert browser.ask(fits) is True
        buttons = "[...document.querySelectorAll('.row button, .row a')]"
        in_view = "r.width > 40 && r.height > 30 && r.left >= 0 && r.bottom <= innerHeight"
        assert browser.ask(
            f"{buttons}.every(b => {{ const r = b.getBoundingClientRect(); return {in_view} }})"
        )
        browser.press("ArrowRight")
        time.sleep(0.1)
    assert browser.problems == []


def test_interrupting_ends_with_the_summary(command: Command) -> None:
    with pytest.raises(HTTPError, match="403"):  # it answers, though not to strangers
        urlopen(command.address.partition("?")[0], timeout=SECONDS)
    command.process.send_signal(signal.SIGINT)
    assert "0 of 3 posts labeled" in command.end()
