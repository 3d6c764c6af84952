"""Mistakes of a model: which are counted, which are kept, and how hostile ones are shown."""

from __future__ import annotations

import csv
import json
import re
import tracemalloc
import weakref
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import hostrisk
from hostrisk._visible import visible
from hostrisk.cli import main
from hostrisk.errors import InputError
from hostrisk.mistakes import FALSE_ALARM, MISS, Collector, Mistake, MistakeGroup
from hostrisk.report.evaluation import render_html, render_text
from hostrisk.report.mistakes import render_text as render_mistakes
from hostrisk.report.mistakes import summarize
from tests.test_evaluation import StandIn, evaluate_stand_in, make_rows
from tests.test_report import Page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIOLENT = "We should hang them all and shoot every one of them"
CALM = "We baked a cake for the school party"
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)

Row = tuple[int, float, str]  # label, score, group


def recount(rows: list[Row], threshold: float, count: int) -> dict[str, Any]:
    """Of each group, the plain way: rows, misses, false alarms and the row numbers as shown."""
    found: dict[str, Any] = {}
    for name in {group for *_, group in rows}:
        wrong: dict[int, list[tuple[float, int]]] = {1: [], 0: []}
        for number, (label, score, group) in enumerate(rows, 1):
            if group == name and (score >= threshold) != (label == 1):
                wrong[label].append((abs(score - threshold), number))
        shown = []
        for ends in (wrong[1], wrong[0]):
            farthest_first = sorted(ends, key=lambda end: (-end[0], end[1]))
            kept = {*farthest_first[:count], *sorted(ends)[:count]}
            shown.append([end[1] for end in farthest_first if end in kept])
        size = sum(group == name for *_, group in rows)
        if any(shown):
            found[name] = size, len(wrong[1]), len(wrong[0]), shown
    return found


def check(groups: list[MistakeGroup], rows: list[Row], threshold: float, count: int) -> None:
    expected = recount(rows, threshold, count)
    assert {group.name for group in groups} == set(expected)
    totals = [(-group.misses - group.false_alarms, group.name) for group in groups]
    assert totals == sorted(totals)
    for group in groups:
        size, misses, alarms, numbers = expected[group.name]
        assert (group.rows, group.misses, group.false_alarms) == (size, misses, alarms)
        kinds = [found.kind for found in group.shown]
        assert kinds == sorted(kinds, key=[MISS, FALSE_ALARM].index)
        for kind, kept in zip((MISS, FALSE_ALARM), numbers, strict=True):
            shown = [found for found in group.shown if found.kind == kind]
            order = [found.row for found in shown]
            assert len(order) == len(set(order)) <= 2 * count
            assert set(order) == set(kept)
            assert order[:count] == kept[:count]
            places = [(-abs(found.score - threshold), found.row) for found in shown]
            assert all(first < second for first, second in pairwise(places))
            assert order == kept


def collect(rows: list[Row], ends: list[int], threshold: float, count: int) -> list[MistakeGroup]:
    """Give rows to a collector in batches that end at these places."""
    collector = Collector(threshold, count)
    for start, end in pairwise([0, *ends, len(rows)]):
        part = rows[start:end]
        labels, scores, groups = zip(*part, strict=True) if part else ((), (), ())
        texts = [f"row {number}" for number in range(start + 1, end + 1)]
        collector.add(start, labels, scores, texts, groups, range(len(part)))
    return list(collector.groups(lambda _: ()))


# --- which are counted and kept ------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 8).map(lambda n: n / 8), st.sampled_from("abc")
        ),
        max_size=60,
    ),
    st.lists(st.integers(0, 60), max_size=3),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    st.integers(1, 4),
)
def test_what_is_kept_is_what_a_plain_recount_finds(
    rows: list[Row], cuts: list[int], threshold: float, count: int
) -> None:
    ends = sorted(min(cut, len(rows)) for cut in cuts)
    groups = collect(rows, ends, threshold, count)
    check(groups, rows, threshold, count)
    for group in groups:
        for found in group.shown:
            assert found.text == f"row {found.row}"
            assert rows[found.row - 1][1:] == (found.score, group.name)


@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("threshold", [0.5, 0.4])
def test_evaluation_keeps_the_mistakes_of_each_group(count: int, threshold: float) -> None:
    columns = make_rows(900)
    found = evaluate_stand_in(
        pa.table(columns), group="group", errors=count, resamples=0, threshold=threshold
    )
    scores = [int(text.split()[0]) / 100 for text in columns["text"]]
    rows = list(zip(columns["label"], scores, columns["group"], strict=True))
    check(list(found.errors), rows, threshold, count)
    for group in found.errors:
        (same,) = (other for other in found.groups if other.name == group.name)
        assert group.misses == same.counts.false_negatives
        assert group.false_alarms == same.counts.false_positives
        assert group.rows == same.counts.rows
        for mistake in group.shown:
            assert mistake.text == columns["text"][mistake.row - 1]


def test_the_farthest_come_first_then_the_nearest() -> None:
    percents = [50, 99, 61, 70, 55, 90, 80]
    rows = [{"text": f"{percent} x", "label": 0} for percent in percents]
    (group,) = evaluate_stand_in(rows, errors=2, resamples=0).errors
    assert [found.score for found in group.shown] == [0.99, 0.9, 0.55, 0.5]
    assert [found.row for found in group.shown] == [2, 6, 5, 1]
    assert group[:4] == ("all", 7, 0, 7)


def test_of_equal_distances_the_first_rows_are_kept_and_come_first() -> None:
    rows: list[Row] = [(0, 0.75, "g")] * 9
    (group,) = collect(rows, [4], 0.5, 2)
    assert [found.row for found in group.shown] == [1, 2]
    rows = [(1, 0.25, "g")] * 5 + [(1, 0.0, "g")] * 5
    (group,) = collect(rows, [3], 0.5, 2)
    assert [found.row for found in group.shown[:2]] == [6, 7]
    assert [found.row for found in group.shown[2:]] == [1, 2]
    rows = [(0, 1.0, "g"), *[(0, 0.75, "g")] * 5]
    (group,) = collect(rows, [2], 0.5, 3)
    assert [found.row for found in group.shown] == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50])
def test_fewer_mistakes_than_asked_are_shown_once(count: int) -> None:
    rows: list[Row] = [(0, 0.9, "g"), (0, 0.6, "g"), (0, 0.7, "g"), (1, 0.1, "g"), (1, 0.9, "g")]
    (group,) = collect(rows, [], 0.5, count)
    shown = {1: [1, 2], 2: [1, 3, 2]}.get(count, [1, 3, 2])
    assert [found.row for found in group.shown] == [4, *shown]
    assert group[:4] == ("g", 5, 1, 3)


def test_without_a_group_column_all_rows_are_one() -> None:
    columns = make_rows(400)
    table = pa.table(columns)
    found = evaluate_stand_in(table, errors=3, resamples=0)
    (group,) = found.errors
    assert (group.name, group.rows) == ("all", 400)
    assert (group.misses, group.false_alarms) == found.counts[2:0:-1]
    scores = [int(text.split()[0]) / 100 for text in columns["text"]]
    check(
        [group],
        [(label, score, "all") for label, score in zip(columns["label"], scores, strict=True)],
        0.5,
        3,
    )


def test_batches_change_nothing() -> None:
    table = pa.table(make_rows(500))
    whole = evaluate_stand_in(table, group="group", errors=4).errors
    for size in (1, 7, 499):
        reader = table.to_reader(max_chunksize=size)
        assert evaluate_stand_in(reader, group="group", errors=4, resamples=0).errors == whole


def test_rows_left_out_count_in_row_numbers_alone() -> None:
    rows = [
        {"text": None, "label": 1, "g": "a"},
        {"text": "90 x", "label": None, "g": "a"},
        {"text": "90 y", "label": 0, "g": None},
        {"text": "10 z", "label": -1, "g": "b"},
        {"text": "10 z", "label": 1, "g": "a"},
    ]
    found = evaluate_stand_in(rows, group="g", errors=5, resamples=0).errors
    assert found == (
        MistakeGroup("(none)", 1, 0, 1, (Mistake(3, FALSE_ALARM, 0.9, "90 y", ()),)),
        MistakeGroup("a", 1, 1, 0, (Mistake(5, MISS, 0.1, "10 z", ()),)),
    )


def test_groups_without_mistakes_are_not_shown() -> None:
    rows = [{"text": "90", "label": 1, "g": "a"}, {"text": "90", "label": 0, "g": "b"}]
    assert [group.name for group in evaluate_stand_in(rows, group="g", errors=1).errors] == ["b"]
    found = evaluate_stand_in(rows[:1], errors=3)
    assert found.errors == ()
    assert "mistakes" not in found.to_text()
    assert "What the model gets wrong" not in found.to_html()


def test_none_are_kept_unless_asked_for() -> None:
    found = evaluate_stand_in(pa.table(make_rows(200)))
    assert found.errors == ()
    assert found.to_dict()["errors"] == []
    assert evaluate_stand_in(pa.table(make_rows(200)), errors=0) == found


@pytest.mark.parametrize("wrong", [-1, True, False, 2.5, 2.0, float("nan"), "2", "", None, [2]])
def test_what_is_no_count_is_refused_before_anything_is_scored(wrong: Any) -> None:
    model = StandIn()
    with pytest.raises(InputError) as caught:
        evaluate_stand_in(pa.table(make_rows(9)), model=model, errors=wrong)
    assert str(caught.value) == f"errors is {wrong!r}; it must be a whole number, 0 or more"
    assert model.calls == 0


def stream(batches: int, given: list[int]) -> pa.RecordBatchReader:
    """Batches of 100 false alarms, each of a group of its own; ``given`` gets those read."""

    def read() -> Iterator[pa.RecordBatch]:
        for number in range(batches):
            given.append(number)
            names = [f"g{100 * number + at}" for at in range(100)]
            columns = {"text": ["90 x"] * 100, "label": [0] * 100, "g": names}
            yield from pa.table(columns).to_batches()

    schema = pa.schema({"text": pa.string(), "label": pa.int64(), "g": pa.string()})
    return pa.RecordBatchReader.from_batches(schema, read())


def test_too_many_groups_are_refused_while_reading() -> None:
    given: list[int] = []
    with pytest.raises(InputError) as caught:
        evaluate_stand_in(stream(40, given), group="g", errors=1, resamples=0)
    assert str(caught.value) == (
        "column 'g' has more than 1,000 different values, too many to measure by group"
    )
    assert 11 <= len(given) <= 12  # the eleventh is one too many; of 40 the rest is not read


def test_a_thousand_groups_are_not_too_many() -> None:
    found = evaluate_stand_in(stream(10, []), group="g", errors=1, resamples=0).errors
    assert [group.name for group in found] == sorted(f"g{number}" for number in range(1_000))
    assert {(group[1:4], len(group.shown)) for group in found} == {((1, 0, 1), 1)}


class Post(str):
    """A text that can be seen to be forgotten."""

    __slots__ = ("__weakref__",)


def test_only_the_texts_kept_stay_in_memory() -> None:
    collector, posts = Collector(0.5, 2), []
    for number in range(300):
        post = Post(f"post {number}")
        posts.append(weakref.ref(post))
        score = (number * 37 % 50 + 50) / 100
        collector.add(number, [0], [score], [post], ["ab"[number % 2]], [0])
        del post
    alive = {post() for post in posts} - {None}
    shown = {found.text for group in collector.groups(lambda _: ()) for found in group.shown}
    assert alive == shown
    assert len(shown) == 8


def test_memory_does_not_grow_with_the_rows() -> None:
    schema = pa.table({"text": [""], "label": [0]}).schema

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(30):
            texts = [f"9{at} {number} " + "x" * 100_000 for at in range(10)]
            yield from pa.table({"text": texts, "label": [0] * 10}).to_batches()

    tracemalloc.start()
    try:
        reader = pa.RecordBatchReader.from_batches(schema, batches())
        (group,) = evaluate_stand_in(reader, errors=1, resamples=0).errors
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (group.false_alarms, len(group.shown)) == (300, 2)
    assert peak < 10_000_000  # of 30 million bytes of texts


# --- spans ---------------------------------------------------------------------------------------


def test_spans_belong_to_the_text(clf: hostrisk.Classifier) -> None:
    hostile = f"\u202e{VIOLENT} 🔪 <b>\x1b[31m k\u200bi\u0301ll h\u0430ng"
    rows = [{"text": text, "label": 0} for text in (VIOLENT, hostile, VIOLENT + " lorem" * 300)]
    rows.append({"text": CALM, "label": 1})
    found = evaluate_stand_in(rows, model=clf, errors=4, resamples=0)
    (group,) = found.errors
    assert (group.misses, group.false_alarms) == (1, 3)
    for mistake in group.shown:
        assert mistake.text == rows[mistake.row - 1]["text"]
        assert mistake.score == clf.score(mistake.text)
        assert mistake.spans == clf.explain(mistake.text).spans
        assert mistake.spans
        for span in mistake.spans:
            assert mistake.text[span.start : span.end] == span.text


def test_a_model_that_cannot_explain_gives_no_spans() -> None:
    assert not hasattr(StandIn, "explain")
    found = evaluate_stand_in(pa.table(make_rows(100)), errors=2, resamples=0)
    assert all(mistake.spans == () for group in found.errors for mistake in group.shown)
    assert "<mark" not in found.to_html()


# --- pages and tables ----------------------------------------------------------------------------

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"'><img src=x onerror=alert(1)>",
    "end": "</p></li></ul></details></main><h1>",
    "template": "{{ summary }}{% raw %}&lt;b&gt;&amp;",
    "controls": "\x00\x07\x1b[31mred\x1b]0;title\x07\x9b\r\x7f",
    "directions": "\u202egnp.exe\u202c \u2066a\u2069 \u200f\u061c\u2028\u2029",
    "unseen": "a\u200bb\u2060c\ufeffd\U000e0041",
    "long": "long " * 2_000,
    "wide": "日本語" * 200,
    "lines": "one\ntwo\r\n\tthree",
}


@pytest.fixture(scope="module")
def hostile() -> Any:
    """The evaluation of hostile texts in groups of hostile names, all of them false alarms."""
    rows = [{"text": f"99 {text}", "label": 0, "g": f"{text:.60}"} for text in HOSTILE.values()]
    return evaluate_stand_in(rows, group="g", errors=1, resamples=0)


def test_hostile_texts_are_shown_as_text_on_the_page(hostile: Any) -> None:
    html = hostile.to_html()
    page = Page(html)
    assert page.open == []
    assert page.names.count("h1") == 1
    assert not {"script", "img"} & set(page.names)
    assert not UNSAFE.search(html)
    words = "".join(page.words)
    for name, text in HOSTILE.items():
        if name != "long":
            assert visible(f"99 {text}", keep="\n") in words
    assert words.count("What the model gets wrong") == 1
    assert page.names.count("details") == len(HOSTILE) + html.count("<details>")
    assert r"\u202egnp.exe\u202c \u2066a\u2069" in words
    assert r"\x00\x07\x1b[31mred" in words


def test_long_texts_are_cut(hostile: Any) -> None:
    whole = f"99 {HOSTILE['long']}"
    words = "".join(Page(hostile.to_html()).words)
    assert whole[:900] + "…" in words
    assert whole[:901] not in words
    cut = 0
    for group in hostile.to_dict()["errors"]:
        (found,) = summarize([group])[0]["shown"]
        line = " ".join(group["shown"][0]["text"].split())
        assert "\n" not in found["line"]
        assert found["line"].endswith("...") == (len(line) > 96)
        assert found["line"] == (visible(line[:93]) + "..." if len(line) > 96 else visible(line))
        cut += found["line"].endswith("...")
    assert cut == 2  # "long" and "wide"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x" * 96, "x" * 96),
        ("x" * 97, "x" * 93 + "..."),
        ("語" * 97, "語" * 93 + "..."),
        (" \n" + "x" * 96 + "\t\r\n ", "x" * 96),
        ("a \n\t" * 49, "a " * 46 + "a..."),
        ("\u202e" * 96, r"\u202e" * 96),  # cut by its own letters, then spelled out
        ("\u202e" * 97, r"\u202e" * 93 + "..."),
        ("x" * 92 + "\x1b" * 9, "x" * 92 + r"\x1b..."),
        ("x" * 93 + "\x1b" * 9, "x" * 93 + "..."),
    ],
)
def test_lines_are_cut_before_hidden_characters_are_spelled_out(text: str, line: str) -> None:
    found = {"row": 1, "kind": MISS, "score": 0.1, "text": text, "spans": []}
    group = {"name": "g", "rows": 1, "misses": 1, "false_alarms": 0, "shown": [found]}
    assert summarize([group])[0]["shown"][0]["line"] == line
    assert render_mistakes([group]).splitlines()[-1] == f"0.100  miss       1  {line}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n" * 120, "n" * 120),
        ("n" * 121, "n" * 119 + "…"),
        ("\u202e" * 20, r"\u202e" * 20),  # spelled out, then cut
        ("\n" * 60, r"\n" * 60),
        ("\n" * 61, r"\n" * 59 + "\\…"),
    ],
)
def test_long_group_names_are_cut(name: str, shown: str) -> None:
    found = evaluate_stand_in([{"text": "90", "label": 0, "g": name}], group="g", errors=1)
    assert found.errors[0].name == name
    (group,) = summarize(found.to_dict()["errors"])
    assert group["name"] == shown
    assert f"{shown}: 0 misses and 1 false alarm in 1 row" in found.to_text().splitlines()
    assert f"<bdi>{shown}</bdi> <span" in found.to_html()
    assert len(shown) <= 120


@pytest.mark.parametrize(
    ("misses", "alarms", "rows", "words"),
    [
        (1, 0, 1, "1 miss and 0 false alarms in 1 row"),
        (0, 1, 1, "0 misses and 1 false alarm in 1 row"),
        (1, 1, 2, "1 miss and 1 false alarm in 2 rows"),
        (2, 11, 21, "2 misses and 11 false alarms in 21 rows"),
        (1_001, 1_000, 10_001, "1,001 misses and 1,000 false alarms in 10,001 rows"),
    ],
)
def test_one_is_not_called_many(misses: int, alarms: int, rows: int, words: str) -> None:
    group = {"name": "g", "rows": rows, "misses": misses, "false_alarms": alarms, "shown": []}
    assert summarize([group])[0]["counts"] == words


def test_hostile_texts_are_one_line_each_in_the_table(hostile: Any) -> None:
    text = hostile.to_text()
    assert not UNSAFE.search(text)
    counts = ": 0 misses and 1 false alarm in 1 row"
    heads = [line for line in text.splitlines() if line.endswith(counts)]
    assert sorted(heads) == sorted(visible(f"{post:.60}") + counts for post in HOSTILE.values())
    lines = [line for line in text.splitlines() if " false alarm " in line and line not in heads]
    assert len(lines) == len(HOSTILE)
    assert any(line.endswith("99 one two three") for line in lines)
    assert all(line.startswith("0.990  false alarm  ") for line in lines)
    assert sorted(int(line.split()[3]) for line in lines) == list(range(1, len(HOSTILE) + 1))


def test_hostile_texts_with_spans_stay_whole(clf: hostrisk.Classifier) -> None:
    texts = [f"{VIOLENT} {text:.100} k\u200bill them" for text in HOSTILE.values()]
    rows = [{"text": text, "label": 0} for text in texts]
    found = evaluate_stand_in(rows, model=clf, errors=len(rows), resamples=0, threshold=0)
    page = Page(found.to_html())
    assert page.open == []
    assert "script" not in page.names
    assert page.names.count("mark") >= len(texts)
    words = "".join(page.words)
    for text in texts:
        assert visible(text, keep="\n") in words


spans = st.tuples(
    st.integers(0, 1000), st.integers(0, 40), st.floats(-5, 5).filter(lambda weight: weight != 0)
).map(lambda span: {"start": span[0], "end": span[0] + span[1], "weight": span[2]})


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.sampled_from([1, 1, 300]), st.lists(spans, max_size=8))
def test_pieces_are_the_text_whatever_the_spans(
    text: str, times: int, given_spans: list[Any]
) -> None:
    text *= times
    shown = [{"row": 1, "kind": MISS, "score": 0.1, "text": text, "spans": given_spans}]
    group = {"name": "g", "rows": 1, "misses": 1, "false_alarms": 0, "shown": shown}
    pieces = summarize([group])[0]["shown"][0]["pieces"]
    whole = visible(text[:900], keep="\n") + ("…" if len(text) > 900 else "")
    assert "".join(piece for piece, _ in pieces) == whole
    shades = {"", *(f"{way}{shade}" for way in ("up", "down") for shade in range(1, 5))}
    assert {shade for _, shade in pieces} <= shades


def test_shades_follow_the_weight() -> None:
    weights = [4.0, -4.0, 0.1, 1.1, -2.5]
    marked = [{"start": 2 * at, "end": 2 * at + 1, "weight": w} for at, w in enumerate(weights)]
    shown = [{"row": 1234, "kind": MISS, "score": 0.1, "text": "a b c d e f", "spans": marked}]
    group = {"name": "g", "rows": 5000, "misses": 1, "false_alarms": 0, "shown": shown}
    (found,) = summarize([group])
    assert found["counts"] == "1 miss and 0 false alarms in 5,000 rows"
    assert (found["shown"][0]["row"], found["shown"][0]["score"]) == ("1,234", "0.100")
    pieces = [piece for piece in found["shown"][0]["pieces"] if piece[1]]
    assert pieces == [("a", "up4"), ("b", "down4"), ("d", "up2"), ("e", "down3")]


def test_report_can_be_drawn_again_from_stored_json(clf: hostrisk.Classifier, hostile: Any) -> None:
    rows = [{"text": VIOLENT, "label": 0}, {"text": CALM, "label": 1}]
    for found in (hostile, evaluate_stand_in(rows, model=clf, errors=2, resamples=0)):
        record = found.to_dict()
        stored = json.loads(json.dumps(record, allow_nan=False))
        assert stored["errors"] == record["errors"]
        assert render_html(stored) == found.to_html()
        assert render_text(stored) == found.to_text()
    (group,) = record["errors"]
    assert (group["rows"], group["misses"], group["false_alarms"]) == (2, 1, 1)
    assert list(group["shown"][0]) == ["row", "kind", "score", "text", "spans"]
    assert list(group["shown"][0]["spans"][0]) == ["start", "end", "text", "weight"]


def test_records_stored_without_mistakes_can_be_drawn() -> None:
    table = pa.table(make_rows(200))
    plain = evaluate_stand_in(table, group="group")
    found = evaluate_stand_in(table, group="group", errors=2)
    assert found.to_text() != plain.to_text()
    for record in (plain.to_dict(), found.to_dict()):
        del record["errors"]
        stored = json.loads(json.dumps(record, allow_nan=False))
        assert render_text(stored) == plain.to_text()
        assert render_html(stored) == plain.to_html()


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    path = tmp_path / "labeled.csv"
    rows = [(VIOLENT, 0, "a"), (CALM, 1, "a"), (f"<script>{VIOLENT}\x1b[2J", 0, "b\u202e")]
    rows += [(VIOLENT, 1, "a"), (CALM, 0, "c")]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "g"), *rows])
    return path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["evaluate", *arguments, "--resamples", "0"])


def test_command_shows_mistakes(labeled: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = run(str(labeled), "--group", "g", "--errors", "2", "--html", str(page))
    assert done.exit_code == 0, done.output
    assert (
        "mistakes, of each group the farthest from the threshold, then the nearest" in done.stdout
    )
    assert "a: 1 miss and 1 false alarm in 3 rows" in done.stdout.splitlines()
    assert r"b\u202e: 0 misses and 1 false alarm in 1 row" in done.stdout.splitlines()
    assert not UNSAFE.search(done.stdout)
    shown = [
        line.split("  ") for line in done.stdout.splitlines() if re.match(r"[01]\.\d{3} ", line)
    ]
    assert [line[-1] for line in shown] == [CALM, VIOLENT, rf"<script>{VIOLENT}\x1b[2J"]
    html = page.read_text("utf-8")
    assert "What the model gets wrong" in html
    assert not UNSAFE.search(html)
    assert "script" not in Page(html).names
    assert 'class="up4"' in html


def test_command_gives_mistakes_as_json(labeled: Path) -> None:
    given = [str(labeled), "--group", "g", "--format", "json"]
    found = json.loads(run(*given, "--errors", "1").stdout)["errors"]
    assert [(group["name"], len(group["shown"])) for group in found] == [("a", 2), ("b\u202e", 1)]
    assert [mistake["row"] for mistake in found[0]["shown"]] == [2, 1]
    again = hostrisk.evaluate(labeled, group="g", errors=1, resamples=0).to_dict()["errors"]
    assert found == again
    assert json.loads(run(*given).stdout)["errors"] == []


def test_command_refuses_what_is_no_count(labeled: Path) -> None:
    for wrong in ("-1", "many", "1.5"):
        refused = run(str(labeled), "--errors", wrong)
        assert refused.exit_code == 2
        assert "--errors" in refused.stderr
        assert refused.stdout == ""
