"""The class most users see: the same scores through every door, and words that explain them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import hostrisk
from hostrisk import InputError, Policy, PolicyError, classifier

if TYPE_CHECKING:
    from pathlib import Path

THREAT = "I will kill the mayor and hang every last one of these cops tomorrow"
CAKE = "we baked a cake with butter and sugar for the school party"
TEXTS: list[str | None] = [
    THREAT, None, CAKE, "", "   ", "sh00t th3m all 🔪🔥", "Ｋｉｌｌ ｔｈｅｍ", "k i l l  t h e m",
    "éte\u0301 — naïve Straße", "a\0b", None, "一緒に殺す", "@mayor #HangThemAll http://x.org/k",
    THREAT, f"{CAKE}. " * 40 + THREAT,
]  # fmt: skip


class Stream:
    """What a database gives: an object that can do nothing but export an Arrow stream."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._source.__arrow_c_stream__(requested_schema)


class OneArray:
    def __init__(self, source: pa.Array) -> None:
        self._source = source

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self._source.__arrow_c_array__(requested_schema)


def chunks(texts: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([texts[:3], [], texts[3:]], pa.string())


DOORS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "subclass of str": lambda texts: [None if t is None else np.str_(t) for t in texts],
    "pandas object": lambda texts: pd.Series(texts, dtype=object),
    "pandas string": lambda texts: pd.Series(texts, dtype="string"),
    "pandas pyarrow": lambda texts: pd.Series(texts, dtype=pd.ArrowDtype(pa.string())),
    "pandas category": lambda texts: pd.Series(texts, dtype="category"),
    "numpy object": lambda texts: np.array(texts, dtype=object),
    "numpy NaN": lambda texts: np.array([np.nan if t is None else t for t in texts], dtype=object),
    "arrow string": lambda texts: pa.array(texts, pa.string()),
    "arrow large_string": lambda texts: pa.array(texts, pa.large_string()),
    "arrow string_view": lambda texts: pa.array(texts, pa.string_view()),
    "arrow dictionary": lambda texts: pa.array(texts, pa.string()).dictionary_encode(),
    "arrow slice": lambda texts: pa.array(["x", None, *texts, "y"], pa.string())[2:-1],
    "arrow slice far in": lambda texts: pa.array([None] * 13 + texts, pa.large_string())[13:],
    "arrow slice of views": lambda texts: pa.array(["x" * 20, *texts], pa.string_view())[1:],
    "arrow slice of dictionary": lambda t: pa.array(["x", *t]).dictionary_encode()[1:],
    "arrow chunks": chunks,
    "arrow chunks slice": lambda texts: chunks(["x", None, *texts])[2:],
    "polars": lambda texts: pl.Series("text", texts),
    "polars slice": lambda texts: pl.Series(["x", *texts])[1:],
    "polars categorical": lambda texts: pl.Series(texts, dtype=pl.Categorical),
    "stream": lambda texts: Stream(chunks(texts)),
    "one array": lambda texts: OneArray(pa.array(texts)),
}


def plain(scores: Any) -> list[float | None]:
    """Turn scores in any container into a list with None for null."""
    if isinstance(scores, pa.Array | pa.ChunkedArray):
        scores.validate(full=True)
        assert scores.type == pa.float64()
    listed = scores.to_pylist() if hasattr(scores, "to_pylist") else list(scores)
    return [None if score is None or math.isnan(score) else float(score) for score in listed]


# --- score ---------------------------------------------------------------------------------------


def test_a_threat_scores_higher_than_a_cake(clf: hostrisk.Classifier) -> None:
    assert 0 < clf.score(CAKE) < clf.score(THREAT) < 1
    assert type(clf.score(THREAT)) is float


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_same_scores_and_decisions(
    clf: hostrisk.Classifier, door: str
) -> None:
    expected = [None if text is None else clf.score(text) for text in TEXTS]
    given = DOORS[door](TEXTS)
    scores = clf.score(given)
    assert plain(scores) == expected
    assert plain(clf.score(given, threads=3)) == expected
    decisions = clf.decide(list(TEXTS), threshold=0.5)
    assert clf.decide(given, threshold=0.5) == decisions
    assert clf.decide(given, threshold=0.5, scores=scores) == decisions
    assert {type(decision.flagged) for decision in decisions} == {bool, type(None)}


@pytest.mark.parametrize("door", DOORS)
def test_no_texts_have_no_scores(clf: hostrisk.Classifier, door: str) -> None:
    assert plain(clf.score(DOORS[door]([]))) == []
    assert clf.decide(DOORS[door]([])) == []


def test_what_comes_back_is_of_the_kind_that_was_given(clf: hostrisk.Classifier) -> None:
    assert type(clf.score((CAKE, None))) is list
    assert clf.score((CAKE, None))[1] is None
    assert type(clf.score(np.str_(CAKE))) is float
    series = clf.score(pd.Series([CAKE, None, THREAT], index=[7, 7, 3], name="text"))
    assert series.index.tolist() == [7, 7, 3]
    assert (series.name, series.dtype) == ("score", np.float64)
    assert series.isna().tolist() == [False, True, False]
    assert isinstance(clf.score(pa.array([CAKE])), pa.DoubleArray)
    assert isinstance(clf.score(chunks(TEXTS)), pa.ChunkedArray)
    assert clf.score(pa.nulls(3)).to_pylist() == [None] * 3
    assert clf.score(pa.array([None, None], pa.string())).to_pylist() == [None] * 2


def test_numpy_arrays_keep_their_shape(clf: hostrisk.Classifier) -> None:
    square = np.array([[CAKE, THREAT], [THREAT, ""]])
    assert square.dtype.kind == "U"
    expected = [[clf.score(str(text)) for text in row] for row in square]
    assert clf.score(square).tolist() == expected
    assert clf.score(square.T).tolist() == np.array(expected).T.tolist()
    assert clf.score(np.array(CAKE)).shape == ()
    assert len(clf.decide(np.array(CAKE))) == 1
    if hasattr(np.dtypes, "StringDType"):
        assert clf.score(square.astype(np.dtypes.StringDType())).tolist() == expected


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (b"bytes", "an object of type bytes"),
        (3, "an object of type int"),
        (None, "an object of type NoneType"),
        ({"text": THREAT}, "an object of type dict"),
        ({THREAT}, "an object of type set"),
        ((text for text in TEXTS), "an object of type generator"),
        (np.array([1, 2]), "the array holds int64, not text"),
        (np.array([b"x"]), "the array holds |S1, not text"),
        (pa.array([1, 2]), "the Arrow column holds int64, not text"),
        (pa.array([b"x"]), "the Arrow column holds binary, not text"),
        (pl.Series([1.5]), "the Arrow column holds double, not text"),
        (pa.table({"text": [THREAT]}), "not text; give one of its columns"),
        (pa.record_batch({"text": [THREAT]}), "not text; give one of its columns"),
        (Stream(pa.table({"text": [THREAT]})), "not text; give one of its columns"),
        (pl.DataFrame({"text": [THREAT]}), "not text; give one of its columns"),
        (pd.DataFrame({"text": [THREAT]}), "not text; give one of its columns"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_text_is_refused(clf: hostrisk.Classifier, wrong: Any, words: str) -> None:
    for work in (clf.score, clf.decide):
        with pytest.raises(InputError) as caught:
            work(wrong)
        assert words in str(caught.value)


@pytest.mark.parametrize("door", ["list", "tuple", "pandas object", "numpy object"])
@pytest.mark.parametrize("wrong", [b"bytes", 7, ["nested"]])
def test_a_wrong_item_is_named_by_its_number(
    clf: hostrisk.Classifier, door: str, wrong: Any
) -> None:
    for length in (5, 1_000):  # the latter in threads
        texts = [*TEXTS, *[CAKE] * length]
        given: list[Any] = list(texts)
        given[11] = wrong
        with pytest.raises(InputError, match=f"item 11 is of type {type(wrong).__name__}; texts"):
            clf.score(DOORS[door](given), threads=2)
        with pytest.raises(InputError, match="item 11 is of type"):
            clf.decide(given, scores=[0.9] * len(given))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", None])
def test_threads_are_a_whole_number(clf: hostrisk.Classifier, threads: Any) -> None:
    with pytest.raises(InputError, match="threads is"):
        clf.score([CAKE], threads=threads)


def test_threads_change_nothing(clf: hostrisk.Classifier) -> None:
    texts = [f"{text or CAKE} {n}" if n % 7 else None for n in range(400) for text in TEXTS]
    expected = clf.score(texts)
    assert clf.score(texts, threads=4) == expected
    assert clf.score(pa.array(texts), threads=4).to_pylist() == expected
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(clf.score, [texts] * 4)) == [expected] * 4


@pytest.mark.parametrize(
    "text", ["\ud800", "kill \udfff them", "\0", "\U0010ffff", "\u202e", "a" * 9_999]
)
def test_strange_texts_have_scores(clf: hostrisk.Classifier, text: str) -> None:
    score = clf.score(text)
    assert 0 < score < 1
    assert clf.score([text, text]) == [score, score]
    explained = clf.explain(text)
    assert explained.score == score
    assert all(text[span.start : span.end] == span.text for span in explained.spans)


def test_an_empty_text_has_the_score_of_the_bias(clf: hostrisk.Classifier) -> None:
    explained = clf.explain("")
    assert explained.spans == ()
    assert explained.logit == explained.bias == clf.artifact.scorer.bias
    assert explained.window == (0, 0)
    assert clf.score("") == explained.score


# --- decide --------------------------------------------------------------------------------------


def test_one_text_gets_one_decision(clf: hostrisk.Classifier) -> None:
    found = clf.decide(THREAT)
    assert found == clf.decide([THREAT])[0]
    assert (found.score, found.threshold) == (clf.score(THREAT), clf.threshold)
    assert found.flagged is (found.score >= clf.threshold)
    assert (found.model, found.policy) == (clf.model_id, clf.policy.id)


def test_the_threshold_can_be_set(clf: hostrisk.Classifier) -> None:
    found = clf.decide(THREAT, threshold=0)
    assert found.flagged is True
    assert found.kind in hostrisk.policy.KINDS
    assert found.targets
    assert set(found.targets) <= set(hostrisk.policy.TARGETS)
    found = clf.decide(THREAT, threshold=1)
    assert (found.flagged, found.kind, found.targets) == (False, None, ())
    with pytest.raises(InputError, match="threshold is 2"):
        clf.decide(THREAT, threshold=2)


def test_null_is_neither_flagged_nor_not(clf: hostrisk.Classifier) -> None:
    found = clf.decide([None], threshold=0)[0]
    assert found[:5] == (None, 0.0, None, None, ())


def test_known_scores_are_used(clf: hostrisk.Classifier) -> None:
    texts = [THREAT, CAKE, None]
    for scores in ([0.1, 0.9, None], np.array([0.1, 0.9, np.nan]), pd.Series([0.1, 0.9, None])):
        found = clf.decide(texts, threshold=0.5, scores=scores)
        assert [decision.flagged for decision in found] == [False, True, None]
        assert [decision.score for decision in found] == [0.1, 0.9, None]
    with pytest.raises(InputError, match="there are 1 scores for 3 texts"):
        clf.decide(texts, scores=[0.5])


# --- explain -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(text for text in TEXTS if text),
        "👩‍👩‍👧 ki\u0301ll them 🔪 all",
        "k.i.l.l the 😀 t r a i t o r s",
        "K̲I̲L̲L̲ ＡＬＬ ﬁve h4ng3d",
        "#BurnItDown @you $hoot k!ll a$$",
    ],
    ids=lambda text: text[:20],
)
def test_spans_lie_on_the_text_and_add_up(clf: hostrisk.Classifier, text: str) -> None:
    found = clf.explain(text)
    assert found.text == text
    assert found.score == clf.score(text)
    total = math.fsum(span.weight for span in found.spans)
    assert abs(found.bias + total - found.logit) < 1e-9
    assert abs(1 / (1 + math.exp(-found.logit)) - found.score) < 1e-12
    assert [span[:2] for span in found.spans] == sorted({span[:2] for span in found.spans})
    for span in found.spans:
        assert found.window[0] <= span.start < span.end <= found.window[1]
        assert text[span.start : span.end] == span.text
    decision = clf.decide(text, threshold=0)
    assert (found.kind, found.targets) == (decision.kind, decision.targets)


def test_spans_count_code_points(clf: hostrisk.Classifier) -> None:
    text = "👩‍👩‍👧 Ki\u0301ll 🔪 ＴＨＥＭ"
    spans = {span.text: span.start for span in clf.explain(text).spans}
    for word in ("Ki\u0301ll", "🔪", "ＴＨＥＭ"):
        assert spans[word] == text.index(word)


@pytest.mark.parametrize("wrong", [None, b"x", [THREAT], 1])
def test_only_a_text_can_be_explained(clf: hostrisk.Classifier, wrong: Any) -> None:
    with pytest.raises(InputError, match="only a str can be explained, not"):
        clf.explain(wrong)


def test_a_threat_at_the_end_of_a_long_document_is_found(clf: hostrisk.Classifier) -> None:
    filler = f"{CAKE}. " * 1_700
    text = filler + f"{THREAT}. " * 3
    assert len(text.encode()) > 100_000
    found = clf.explain(text)
    assert found.score == clf.score(text) > clf.score(filler)
    start, end = found.window
    assert end > len(filler)
    assert found.score == pytest.approx(clf.score(text[start:end]), abs=1e-6)
    strongest = sorted(found.spans, key=lambda span: -span.weight)[:5]
    assert all(len(filler) <= span.start < span.end <= end for span in strongest)


# --- loading -------------------------------------------------------------------------------------


def test_the_bundled_classifier_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "_bundled", None)
    loads = []

    def load() -> hostrisk.Classifier:
        loads.append(1)
        return hostrisk.load()

    monkeypatch.setattr(classifier, "load", load)
    scores = [hostrisk.score(THREAT), *hostrisk.score([THREAT, THREAT], threads=2)]
    assert scores == [hostrisk.load().score(THREAT)] * 3
    assert loads == [1]


def test_a_model_folder_and_a_policy_can_be_given(model_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\nthreshold = 0.0\nkinds = ["wish"]')
    for policy in (path, str(path), Policy("own", 0.0, ("wish",))):
        own = hostrisk.load(model_dir, policy=policy)
        assert own.decide(CAKE).kind == "wish"
        assert (own.threshold, own.policy.name) == (0.0, "own")
    assert own.model_id == hostrisk.load().model_id
    assert repr(own) == f"<Classifier {own.model_id}, policy {own.policy.id}>"
    with pytest.raises(PolicyError, match="cannot be read"):
        hostrisk.load(policy=tmp_path / "none.toml")
