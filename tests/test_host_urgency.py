"""Marks of a credible threat: written cases with floors, single rules, hostile and random text."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostrisk.host.words.reading import any_of, compiled, pattern_of, word_lists
from hostrisk.host.words.urgency import MARKS, Mark, find_marks, is_urgent
from hostrisk.policy import TARGETS
from hostrisk.records import Span

CASES = Path(__file__).parents[1] / "data" / "cases" / "marks.csv"
# The patterns were written with the first part in sight; the second was measured once, after.
# Measured on dev: all 1. On test: target 0.96, 0.96; time 1, 0.98; means 1, 0.94; urgent 0.97, 1;
# place and planning 1.
FLOORS = {"dev": (0.97, 0.97), "test": (0.93, 0.91)}


def marks_of(text: str, **given: object) -> set[tuple[str, str]]:
    return {(mark.mark, mark.words) for mark in find_marks(text, **given)}


def names_of(text: str, **given: object) -> set[str]:
    return {mark.mark for mark in find_marks(text, **given)}


# --- written cases -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    rows = pd.read_csv(CASES, keep_default_na=False)
    number = rows["id"].str.removeprefix("m").astype(int)
    rows["part"] = number.mod(3).eq(0).map({True: "test", False: "dev"})
    found = [
        find_marks(row.text, kind=row.kind or None, targets=tuple(filter(None, [row.targets])))
        for row in rows.itertuples()
    ]
    for mark in MARKS:
        rows[f"found_{mark}"] = [int(any(one.mark == mark for one in marks)) for marks in found]
    rows["found_urgent"] = [int(is_urgent(marks)) for marks in found]
    return rows


def test_cases_are_whole(cases: pd.DataFrame) -> None:
    assert len(cases) >= 260
    assert cases["id"].is_unique
    assert cases["text"].str.lower().is_unique
    assert (cases["urgent"] == (cases[list(MARKS)].sum(axis=1) >= 2)).all()
    assert set(cases["targets"]) <= {"", *TARGETS}
    assert (cases[[*MARKS, "urgent"]].groupby(cases["part"]).sum() >= 12).all(axis=None)
    assert cases[list(MARKS)].sum(axis=1).eq(0).sum() >= 100  # nothing to find


@pytest.mark.parametrize("part", FLOORS)
@pytest.mark.parametrize("mark", [*MARKS, "urgent"])
def test_precision_and_recall(cases: pd.DataFrame, part: str, mark: str) -> None:
    rows = cases[cases["part"] == part]
    right = int((rows[mark] & rows[f"found_{mark}"]).sum())
    precision, recall = right / rows[f"found_{mark}"].sum(), right / rows[mark].sum()
    print(f"{part} {mark}: precision {precision:.3f}, recall {recall:.3f}, of {rows[mark].sum()}")
    assert precision >= FLOORS[part][0]
    assert recall >= FLOORS[part][1]


# --- single rules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "hang these traitors on Saturday, bring rope",
            {("time", "on Saturday"), ("means", "rope")},
        ),
        (
            "I will be outside his house tonight",
            {("place", "outside his house"), ("time", "tonight")},
        ),
        ("run them over with trucks", {("means", "with trucks")}),
        ("kill Judge Harlow", {("target", "Judge Harlow")}),
        ("Meet at the Capitol", {("planning", "Meet"), ("place", "at the Capitol")}),
        ("I know where he lives", {("planning", "I know where he lives")}),
        ("who is with me?", {("planning", "who is with me")}),
        ("on January 20 it ends", {("time", "on January 20")}),
        ("storm it at 6pm", {("time", "at 6pm")}),
        ("be ready, 01/20", {("time", "01/20")}),
        ("I have a pipe bomb", {("means", "a pipe bomb")}),
        ("outside the mosque on Harper Road", {("place", "outside the mosque on Harper Road")}),
        ("he is at 12 Elm Street", {("place", "12 Elm Street")}),
        ("corner of 5th and Main", {("place", "corner of 5th and Main")}),
        ("Lock and load", {("planning", "Lock and load")}),
        ("#LynchTheJudge", {("target", "Judge")}),
    ],
)
def test_words_that_carry_a_mark(text: str, expected: set[tuple[str, str]]) -> None:
    assert marks_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "last Saturday",
        "yesterday at noon",
        "in 1945",
        "soon, one day, some day, never",
        "the White House announced it",
        "at a school",
        "in court",
        "Police arrested a man who wanted to shoot Judge Harlow at the courthouse on Friday",
        'He wrote "we burn your house tonight, bring rope" and I reported it',
        "don't kill the judge",
        "cops kill people",
        "I don't know where she lives",
        "chop the onions with a knife",
        "ban my rifle laws",
        "bring it on",
    ],
)
def test_no_mark(text: str) -> None:
    assert find_marks(text) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("b0mb the c0urthouse", "the c0urthouse"),
        ("outside the c o u r t h o u s e", "outside the c o u r t h o u s e"),
        ("OUTSIDE THE COURTHOUSE", "OUTSIDE THE COURTHOUSE"),
        ("outside the ｃｏｕｒｔｈｏｕｓｅ", "outside the ｃｏｕｒｔｈｏｕｓｅ"),
        ("outside the cоurthоuse", "outside the cоurthоuse"),
        ("out\u200bside the\u2003courthouse", "out\u200bside the\u2003courthouse"),
        ("outside the clerk\u2019s house", "outside the clerk\u2019s house"),
        ("outside\nthe   courthouse!", "outside\nthe   courthouse"),
    ],
)
def test_spelling_hides_nothing(text: str, words: str) -> None:
    assert ("place", words) in marks_of(text)


def test_targets_of_the_decision_need_words_that_name_them() -> None:
    text = "That county judge took my kids. She is not going to see the morning."
    assert "target" not in names_of(text)
    assert "target" not in names_of(text, targets=("general",))
    assert "target" not in names_of(text, targets=("muslim",))
    assert ("target", "judge") in marks_of(text, targets=("official",))
    assert "target" not in names_of("they have it coming", targets=("official",))
    assert "target" not in names_of("leave the judge alone", targets=("official",))
    assert ("target", "mosques") in marks_of("the mosques must go", targets=("muslim", "unknown"))


def test_a_name_behind_the_word_that_carries_the_score_is_a_target() -> None:
    text = "unalive the senators"
    strong = Span(0, 7, "unalive", 2.0)
    assert find_marks(text, (Span(0, 7, "unalive", -2.0),)) == find_marks(text) == ()
    assert marks_of(text, spans=(strong, Span(8, 11, "the", 0.1))) == {("target", "senators")}
    assert names_of("do not unalive the senators", spans=(Span(7, 14, "unalive", 2.0),)) == set()


def test_in_a_call_a_weapon_counts_however_it_is_named() -> None:
    text = "shotguns for every one of them"
    assert names_of(text) == names_of(text, kind="wish") == set()
    assert names_of(text, kind="incitement") == names_of(text, kind="threat") == {"means"}


def test_praise_of_a_deed_is_no_plan() -> None:
    text = "hero, he goes in with an AR-15 outside the mosque"
    assert names_of(text) == {"means", "place"}
    assert names_of(text, kind="glorification") == set()
    again = f"{text}. Who is with me tonight?"
    assert names_of(again, kind="glorification") == {"means", "place", "time", "planning"}


def test_no_words_are_both_means_and_planning() -> None:
    assert names_of("bring rope") == {"means"}
    assert names_of("bring friends") == {"planning"}
    assert names_of("bring rope and friends, bring masks") == {"means", "planning"}


def test_urgent_takes_two_different_marks() -> None:
    time_, place = Mark("time", "a", 0, 1), Mark("place", "b", 1, 2)
    assert not is_urgent(())
    assert not is_urgent((time_, time_))
    assert is_urgent((time_, place))


@pytest.mark.parametrize("file", ["threat_words.csv", "target_words.csv"])
def test_word_lists_compile_and_repeat_nothing(file: str) -> None:
    for name, words in word_lists(file).items():
        assert len(set(words)) == len(words)
        pattern = compiled(any_of(name, file))
        plain = [word for word in words if re.fullmatch(r"[a-z ]+", word)]
        assert all(pattern.fullmatch(word) for word in plain)


def test_every_target_group_of_the_policy_has_words() -> None:
    assert set(TARGETS) - word_lists("target_words.csv").keys() == {"person", "general"}


@pytest.mark.parametrize("name", ["time", "place", "name", "means", "step", "bare_means"])
def test_no_pattern_matches_nothing(name: str) -> None:
    pattern = pattern_of(name)
    assert not pattern.search("")
    assert not pattern.search("...")


# --- hostile and random text ---------------------------------------------------------------------

FRAGMENTS = [
    "kill ", "kill the ", "hang Judge Harlow ", "@bob i will ", "judge ", "Dr. ", "Bob ", "they ",
    "the ", "at the ", "at A ", "outside his ", "in the old ", "storm the ", "clerk's house ",
    "corner of a and ", "12 Elm ", "5th and ", "saturday ", "at noon, ", "jan 1 ", "01/", "in two ",
    "my old ", "i have a big ", "bring ", "bring your ", "with a ", "run a b over ", "already ",
    "i know where ", "he parks ", "police said ", 'he wrote "kill the judge" ', "a b c ", "k1ll ",
    "#aBc", "how ", "don't ", "I", '"', "'", ". ", "\n", "’", "İ", "ß", "\u200b", "🔪", "\0",
    "\ud800", "1:",
]  # fmt: skip


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_hostile_text_takes_linear_time(fragment: str) -> None:
    text = (fragment * 30_000)[:30_000]
    start = time.process_time()
    find_marks(text, kind="incitement", targets=("official", "politician"))
    assert time.process_time() - start < 0.5  # 0.02 to 0.2; a backtracking pattern takes minutes


def test_a_long_mixture_takes_less_than_a_second() -> None:
    text = ("".join(FRAGMENTS) * 1000)[:100_000]
    start = time.process_time()
    find_marks(text, kind="incitement", targets=("official", "politician"))
    assert time.process_time() - start < 1


def test_a_post_takes_less_than_a_millisecond() -> None:
    posts = pd.read_csv(CASES)["text"].tolist()
    texts = [" ".join(posts[at : at + 6])[:280] for at in range(0, len(posts) - 6, 6)]
    seconds = []
    for _ in range(5):
        start = time.process_time()
        for text in texts:
            find_marks(text)
        seconds.append((time.process_time() - start) / len(texts))
    assert min(seconds) < 0.0015  # 0.0006 measured; machines that run tests are busy


texts = st.text() | st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3)).map("".join)


@given(
    texts,
    st.sampled_from([None, "threat", "incitement", "glorification", "wish", "?"]),
    st.lists(st.sampled_from([*TARGETS, "?"]), max_size=3),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9), st.floats(-3, 3)), max_size=3),
)
@example("İstanbul kill the judge", None, ["official"], [])
@settings(max_examples=300, deadline=None)
def test_marks_lie_on_the_text(
    text: str, kind: str | None, targets: list[str], places: list[tuple[int, int, float]]
) -> None:
    spans = [Span(at, at + size, text[at : at + size], weight) for at, size, weight in places]
    marks = find_marks(text, spans, kind=kind, targets=targets)
    for mark in marks:
        assert mark.mark in MARKS
        assert 0 <= mark.start < mark.end <= len(text)
        assert mark.words == text[mark.start : mark.end]
    assert list(marks) == sorted(marks, key=lambda mark: (mark.start, mark.end, mark.mark))
    assert marks == find_marks(text, spans, kind=kind, targets=targets)
