"""What an evaluation looks like: aligned text, and a page that hostile names cannot break."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from unicodedata import category, east_asian_width
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from hostrisk.evaluation import evaluate
from hostrisk.report import charts
from hostrisk.report.evaluation import render_html, render_text, summarize

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><h1>",
    "{{ summary }}{% raw %}",
    "\u202egnp.exe\x1b[31mred\u200b\n- note",
    "long " * 60,
    "日本語のグループ",
    "नमस्ते दुनिया",
]


class StandIn:
    model_id = "stand-in<b>:1"
    threshold = 0.5

    def score(self, texts: Any) -> Any:
        return pa.array([None if t is None else float(t) for t in texts.to_pylist()])


def make_record(
    rows: int = 300, *, labels: tuple[int, ...] = (0, 1), resamples: int = 40, **options: Any
) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    truth = rng.choice(labels, rows, p=[0.8, 0.2][: len(labels)] if len(labels) > 1 else None)
    scores = np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1)
    table = pa.table(
        {
            "text": [str(score) for score in scores.tolist()],
            "label": truth.tolist(),
            "group": [HOSTILE[n % len(HOSTILE)] for n in range(rows)],
        }
    )
    found = evaluate(table, model=StandIn(), group="group", resamples=resamples, **options)
    return {**found.to_dict(), "source": HOSTILE[0]}


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return make_record()


@pytest.fixture(scope="module")
def page(record: dict[str, Any]) -> str:
    return render_html(record)


class Page(HTMLParser):
    """Every element and attribute of a page, and whether its elements close as they opened."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


# --- the page ------------------------------------------------------------------------------------


def test_page_is_whole_and_needs_nothing_from_outside(page: str) -> None:
    found = Page(page)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(found.names)
    names = {name for name, _ in found.attributes}
    assert not {"src", "href", "xlink:href", "style", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert "://" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_hostile_names_are_shown_as_text(page: str, record: dict[str, Any]) -> None:
    found = Page(page)
    words = "".join(found.words)
    assert found.names.count("h1") == 1
    assert found.names.count("b") == 0
    assert words.count(HOSTILE[0]) == 3  # the title, the heading, the group
    for name in HOSTILE[1:4]:
        assert name in words
    assert "stand-in<b>:1" in words
    assert r"\u202egnp.exe\x1b[31mred\u200b\n- note" in words
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]", page)
    assert HOSTILE[5] not in words
    assert (HOSTILE[5][:119] + "…") in words
    assert len(record["groups"]) == len(HOSTILE)


def test_page_does_not_depend_on_the_escaping_of_names_alone(record: dict[str, Any]) -> None:
    hostile = '<script>alert(1)</script>\x07"'
    changed = {**record, "model": hostile, "policy": hostile, "notes": [hostile]}
    found = Page(render_html(changed))
    assert "script" not in found.names
    assert found.open == []
    assert "".join(found.words).count("<script>alert(1)</script>") == 6


def test_page_has_the_charts_with_descriptions(page: str) -> None:
    drawn = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
    titles = [ElementTree.fromstring(svg).findtext("title") for svg in drawn]
    assert titles == ["Precision-recall curve", "Reliability diagram with counts"]
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for svg in drawn:
        labelled = re.findall(r'aria-labelledby="([^"]+)"', svg)[0].split()
        assert set(labelled) <= set(ids)
        assert "nan" not in svg
        assert len(ElementTree.fromstring(svg).findtext("desc") or "") > 40
    bars = re.findall(r'<svg class="interval".*?</svg>', page)
    assert len(bars) == 10 + len(HOSTILE)  # two of the twelve metrics cannot be resolved


def test_page_shows_the_figures(page: str, record: dict[str, Any]) -> None:
    words = " ".join("".join(Page(page).words).split())
    for name in ("average_precision", "roc_auc", "recall", "brier_score"):
        assert f"{record['metrics'][name]['estimate']:.3f}" in words
    for note in record["notes"]:
        assert note in words
    assert f"300 rows, {record['positives']} of them positive" in words
    assert "40 resamples of the rows (seed 0)" in words


def test_page_can_be_drawn_again_from_stored_json(page: str, record: dict[str, Any]) -> None:
    assert render_html(json.loads(json.dumps(record))) == page


@pytest.mark.parametrize(
    "options",
    [
        {"labels": (1,)},
        {"labels": (0,)},
        {"rows": 1, "labels": (1,)},
        {"threshold": 1.0},
        {"threshold": 0.0},
        {"resamples": 0},
    ],
    ids=str,
)
def test_page_of_thin_results(options: dict[str, Any]) -> None:
    record = make_record(**{"rows": 40, **options})
    found = Page(render_html(record))
    assert found.open == []
    words = "".join(found.words)
    assert not re.search(r"\b(nan|None|inf)\b", words)
    assert ("Precision-recall curve" in words) == bool(record["curves"]["precision_recall"])
    assert ("n/a" in render_text(record)) == ("n/a" in words)


# --- text ----------------------------------------------------------------------------------------


def places(text: str) -> int:
    """Count the places a terminal gives to a text."""
    marks = ("Mn", "Me", "Cf")
    return sum(0 if category(c) in marks else 1 + (east_asian_width(c) in ("W", "F")) for c in text)


def test_text_is_aligned(record: dict[str, Any]) -> None:
    text = render_text(record)
    blocks = text.split("\n\n")
    tables = [block for block in blocks if re.search(r"^-+  ", block, re.MULTILINE)]
    assert len(tables) == 3
    for table in tables:
        lines = table.splitlines()
        rule = next(at for at, line in enumerate(lines) if set(line) == {"-", " "})
        ends = [match.end() for match in re.finditer("-+", lines[rule])]
        assert all(places(line) <= ends[-1] + 2 + len("few rows") for line in lines[rule:])
        for line in lines[rule + 1 :]:
            # The last places of the second column, right-aligned, are a figure and then a gap.
            before = next(at for at in range(len(line) + 1) if places(line[:at]) == ends[1])
            assert re.search(r"(\d|n/a)$", line[:before]), line
            assert line[before : before + 2] in ("  ", ""), line
    assert all(line == line.rstrip() for line in text.splitlines())


def test_text_holds_nothing_a_terminal_obeys(record: dict[str, Any]) -> None:
    text = render_text({**record, "notes": ["bell \x07 and \u202e"]})
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]", text)
    assert r"bell \x07 and \u202e" in text
    assert HOSTILE[0] in text.splitlines()[0]
    assert "long long" in text
    assert HOSTILE[5][:48] not in text


def test_text_of_a_plain_evaluation_is_ascii() -> None:
    table = pa.table({"text": ["0.9", "0.2", "0.6", None], "label": [1, 0, 0, 1]})
    text = evaluate(table, model=StandIn(), resamples=20).to_text()
    assert text.isascii()
    assert "3 rows, 1 of them positive (33.3%)" in text
    assert "The model flags 2: 1 rightly, 1 wrongly; it misses 0." in text
    assert "- Left out: 1 row without a text." in text
    assert "policy none, threshold 0.5" in text
    assert "- Rough, as fewer than ten rows decide it: " in text


# --- words and numbers ---------------------------------------------------------------------------


def test_groups_come_weakest_first(record: dict[str, Any]) -> None:
    estimates = [group["accuracy"]["estimate"] for group in summarize(record)["groups"]]
    assert estimates == sorted(estimates)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "n/a"), (0.0, "0.000"), (1.0, "1.000"), (0.9994, "0.999"), (0.0123, "0.012"),
     (0.0042, "0.0042"), (0.00042, "0.00042"), (0.00003, "3e-05")],
)  # fmt: skip
def test_small_numbers_keep_their_figures(record: dict[str, Any], value: Any, shown: str) -> None:
    metric = {"estimate": value, "low": None, "high": None, "low_support": False}
    changed = {**record, "metrics": {**record["metrics"], "false_positive_rate": metric}}
    assert summarize(changed)["tiles"][3]["value"] == shown


def test_rare_positives_are_no_zero_percent(record: dict[str, Any]) -> None:
    rare = {**record, "rows": 10_000, "positives": 4}
    assert "4 of them positive (0.04%)" in summarize(rare)["headline"]
    assert [charts.percent(share) for share in (0, 0.00041, 0.0123, 0.3456, 1)] == [
        "0.0%", "0.041%", "1.2%", "34.6%", "100.0%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (9_949, "9.9k"), (9_960, "10k"), (999_499, "999k"),
     (999_500, "1.0M"), (5_600_000, "5.6M"), (123_456_789, "123M")],
)  # fmt: skip
def test_counts_on_bars_are_short(count: int, shown: str) -> None:
    assert charts.compact_count(count) == shown


def test_charts_escape_what_they_are_given() -> None:
    bins = [make_record(40)["curves"]["reliability"][0]]
    svg = charts.reliability_chart(bins, threshold=0.5, name='x"><script>')
    assert "<script>" not in svg
    ElementTree.fromstring(svg)
