"""Redaction: written cases, how stretches move, hostile and random text."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostrisk.host.words.redaction import KINDS, redact

CASES = pd.read_csv(
    Path(__file__).parents[1] / "data" / "cases" / "redaction.csv", keep_default_na=False
)
KEEP = ("senate", "@Press_Office")


def test_cases_are_whole() -> None:
    assert len(CASES) >= 120
    assert CASES["id"].is_unique
    assert CASES["text"].is_unique
    assert (CASES["text"] == CASES["redacted"]).sum() >= 30  # nothing to take out
    for kind in KINDS:
        assert CASES["redacted"].str.contains(f"[{kind}]", regex=False).sum() >= 8


@pytest.mark.parametrize(
    ("text", "redacted"), list(zip(CASES["text"], CASES["redacted"], strict=True))
)
def test_written_cases(text: str, redacted: str) -> None:
    assert redact(text, keep=KEEP).text == redacted


def test_what_was_removed_is_told_on_the_original() -> None:
    text = "write jo@example.org or @jo, 12 Elm Street"
    redaction = redact(text)
    assert [(kind, text[start:end]) for kind, start, end in redaction.removed] == [
        ("e-mail", "jo@example.org"),
        ("@name", "@jo"),
        ("address", "12 Elm Street"),
    ]
    assert redaction.text == "write [e-mail] or [@name], [address]"


def test_stretches_move() -> None:
    text = "kill jo@example.org at 12 Elm Street now"
    redaction = redact(text)

    def moved(words: str) -> str | None:
        start = text.index(words)
        place = redaction.move(start, start + len(words))
        return None if place is None else redaction.text[slice(*place)]

    assert moved("kill") == "kill"
    assert moved("now") == "now"
    assert moved("jo@example.org") == "[e-mail]"
    assert moved("at 12 Elm Street") == "at [address]"
    assert moved(text) == redaction.text
    assert moved("example") is None  # a piece of what was removed
    assert moved("jo") is None
    assert moved(".org at") == " at"
    assert moved("at 12 Elm") == "at "
    assert redaction.move(3, 3) is None
    assert redact("").move(0, 0) is None


def test_handles_are_kept_in_any_case_and_only_whole() -> None:
    assert redact("@BOB @bobby @bob.", keep=["@Bob"]).text == "@BOB [@name] @bob."
    assert redact("@bob@social.example", keep=["bob"]).text == "[@name]"
    assert redact("@bob@social.example", keep=["bob@social.example"]).text == "@bob@social.example"


def test_nothing_personal_is_left_of_a_crowded_post() -> None:
    details = ["jo@example.org", "(202) 555-0142", "@jo_99", "12 Elm Street", "192.0.2.17"]
    for glue in (" ", ", ", "\n", " / ", "; ", "|"):
        left = redact(glue.join(details)).text
        assert left == glue.join(["[e-mail]", "[phone]", "[@name]", "[address]", "[number]"])


# --- hostile and random text ---------------------------------------------------------------------

FRAGMENTS = [
    "a", "a.", "a@", "@a", "@a@", "@a.", "a@b.", "a@b.co", "a@b.co ", "a at b dot ", "a [at] b ",
    "1", "1 ", "1-", "1.", "+1", "+1 ", "01 ", "00", "(0", "(202) ", "202-555-0142", "+12025550142",
    "4111 ", "4111 1111 1111 1111 ", "1.1.1.1 ", "1:", "::", "a:", "12 Elm ", "12 Elm Street",
    "12 elm ", "Aa ", "Aa Aa, ", "Flat 3, ", "http://", "http://a:b@", "http://a?b@c.de ", "www.",
    "[", "[phone]", "[@name]@", "ssn 219", "219-09-9999", "AB 12 34 56 C", "po box 1 ", "Via Aa ",
    "call ", "tel: ", "555-0142", "%40", "\u200b", "＠", "\0", "_", "é", "🔪", "\n", " ", "]",
]  # fmt: skip


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_hostile_text_takes_linear_time(fragment: str) -> None:
    text = (fragment * 30_000)[:30_000]
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 1  # 0.02 to 0.4; a backtracking pattern takes minutes


texts = st.text() | st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map("".join)


@given(texts, st.lists(st.sampled_from(["a", "@A", "é"]), max_size=2))
@settings(max_examples=500, deadline=None)
def test_redaction_of_any_text(text: str, keep: list[str]) -> None:
    redaction = redact(text, keep=keep)
    at, pieces = 0, []
    for kind, start, end in redaction.removed:
        assert kind in KINDS
        assert at <= start < end <= len(text)
        pieces += [text[at:start], f"[{kind}]"]
        at = end
    assert "".join([*pieces, text[at:]]) == redaction.text
    assert redact(redaction.text, keep=keep).text == redaction.text


@given(texts, st.data())
@settings(max_examples=300, deadline=None)
def test_moving_keeps_order(text: str, data: st.DataObject) -> None:
    redaction = redact(text)
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    one, other = sorted([data.draw(places), data.draw(places)])
    first, second = redaction.move(*one), redaction.move(*other)
    for place in (first, second):
        assert place is None or 0 <= place[0] < place[1] <= len(redaction.text)
    if first and second:
        assert first[0] <= second[0]
        assert (first[1] <= second[1]) or one[1] > other[1]
    for start, end in ((0, len(text)),):
        assert not text or redaction.move(start, end) == (0, len(redaction.text))
