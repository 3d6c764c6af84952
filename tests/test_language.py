"""Languages: words counted alike by both engines, and texts in others undecided, never safe."""

from __future__ import annotations

import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

import hostrisk
from hostrisk import ModelError, _reference, linear
from hostrisk._checks import MANIFEST
from hostrisk.artifact import WEIGHTS, WORDS, load_artifact, save_artifact, verify
from hostrisk.cli import main
from hostrisk.decide import decide_one
from hostrisk.features import SLOTS, token_slot
from hostrisk.language import Vocabulary, unseen_share
from tests.test_kernel import BIAS, SCALE, WHOLE, compiled, few, long_text, many
from tests.test_kernel import WEIGHTS as TABLE
from tests.test_normalize import any_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from click.testing import Result

try:
    from hostrisk import _kernel
except ImportError:  # no compiler
    _kernel = None  # type: ignore[assignment]

HALF = np.random.default_rng(5).integers(-128, 128, SLOTS // 8).astype(np.int8).data

ENGLISH = [
    "they should all be shot on sight",
    "We baked a cake for the school party",
    "The committee meets on Tuesday to talk about the budget",
    "I can't believe how good this weather is, see you tomorrow",
]
FOREIGN = {
    "German": [
        "Wir sollten sie alle an die Wand stellen und erschießen",
        "Morgen backen wir einen Kuchen für das Schulfest",
    ],
    "Bengali": ["তাদের সবাইকে মেরে ফেলা উচিত", "আজ আবহাওয়া খুব সুন্দর"],
    "Korean": ["그들을 모두 죽여야 한다", "우리는 학교 축제를 위해 케이크를 구웠다"],
    "Russian": ["Их всех надо расстрелять на месте", "Сегодня очень хорошая погода"],
    "Chinese": ["应该把他们全部枪毙", "今天天气很好，我们去公园散步，然后一起吃晚饭。"],
}
GERMAN = FOREIGN["German"][0]


def knows(*words: str) -> memoryview:
    """A vocabulary of these words and no others."""
    bits = np.zeros(SLOTS, np.uint8)
    bits[[token_slot(word.encode()) for word in words]] = 1
    return np.packbits(bits, bitorder="little").view(np.int8).data


WORDS_KNOWN = knows("we", "kill", "you", "the", "é")


def counts(engine: ModuleType, texts: Any, words: memoryview = WORDS_KNOWN) -> list[Any]:
    return list(struct.iter_unpack("=ii", engine.word_counts(texts, words)))


# --- words and how many of them are unseen -------------------------------------------------------

ODD: list[tuple[str | None, int, int]] = [
    (None, 0, 0),
    ("", 0, 0),
    (" .,;\n\0", 0, 0),
    ("we kill you", 3, 0),
    ("WE töten you", 3, 1),
    ("k i l l you", 2, 0),  # joined, so one word
    ("k.i.l.l.e.n", 1, 1),
    ("k i", 2, 2),  # too few to be joined
    ("we k", 2, 1),
    ("x " * 200, 1, 1),
    ("y x " * 50, 2, 2),  # cut at 64 bytes
    ("🔪🔪 👍🏽 👩\u200d👧", 0, 0),
    ("\ud800", 0, 0),
    ("kill\udfffyou\ud83d", 2, 0),
    ("https://we.kill/the/you we", 1, 0),
    ("k\u0456ll th\u0435 \u0443\u043eu", 3, 0),  # Cyrillic look-alikes
    ("k\u200bi\u200dll\ufeff", 1, 0),
    ("\u202ekill", 1, 0),
    ("你好 世界", 2, 2),
    ("今天天气很好", 1, 1),
    ("é e\u0301", 2, 2),  # read as e
    ("12 345 6-7", 0, 0),
    ("k1ll", 1, 0),  # the raw form beside it is no word
    ("a1b2c3d4", 0, 0),
    ("@you #killThe", 3, 0),
    ("we " * 300, 300, 0),
    ("wir " * 300, 300, 300),
    ("kill " * 150 + "wir " * 150, 300, 150),
    ("a" * 20_000, 1, 1),
    ("ab" * 20_000, 625, 625),
]


@pytest.mark.parametrize("engine", WHOLE)
@pytest.mark.parametrize(("text", "words", "unseen"), ODD, ids=[ascii(o[0])[:30] for o in ODD])
def test_words_of_odd_texts(engine: ModuleType, text: str | None, words: int, unseen: int) -> None:
    assert counts(engine, [text]) == [(words, unseen)]


@pytest.mark.parametrize("engine", WHOLE)
def test_each_text_has_its_own_counts(engine: ModuleType) -> None:
    assert counts(engine, [text for text, *_ in ODD]) == [tuple(found) for _, *found in ODD]
    assert counts(engine, ()) == []
    assert engine.word_counts([], WORDS_KNOWN) == b""


@compiled
@many
@given(st.lists(st.none() | any_text | st.text(max_size=30), max_size=8))
def test_counts_are_equal(rows: list[str | None]) -> None:
    assert _kernel.word_counts(rows, HALF) == _reference.word_counts(rows, HALF)


@compiled
@few
@given(st.lists(long_text, min_size=1, max_size=2))
def test_counts_of_long_texts_are_equal(rows: list[str]) -> None:
    assert _kernel.word_counts(rows, HALF) == _reference.word_counts(rows, HALF)


@compiled
def test_counting_leaves_scoring_as_it_was() -> None:
    texts = ["we kill you " * 90, "", "k i l l"]
    before = _kernel.score_list(texts, TABLE, SCALE, BIAS), _kernel.features(texts)
    expected = counts(_kernel, texts * 50)
    with ThreadPoolExecutor(4) as executor:
        jobs = [executor.submit(counts, _kernel, texts * 50) for _ in range(16)]
        assert all(job.result() == expected for job in jobs)
    assert before == (_kernel.score_list(texts, TABLE, SCALE, BIAS), _kernel.features(texts))


@compiled
@pytest.mark.parametrize(
    ("texts", "words", "error", "message"),
    [
        (["kill"], bytes(SLOTS // 8 - 1), ValueError, "must be 131072 bytes, not 131071"),
        (["kill"], bytes(SLOTS), ValueError, "must be 131072 bytes, not 1048576"),
        (["kill"], b"", ValueError, "must be 131072 bytes, not 0"),
        ([], b"", ValueError, "must be 131072 bytes"),
        (["kill"], "words", TypeError, "bytes-like"),
        (["kill"], None, TypeError, "bytes-like"),
        (["kill"], memoryview(bytes(SLOTS // 4))[::2], BufferError, "contiguous"),
        (["kill", "\ud800", 1], HALF, TypeError, "not a str"),
        ([b"kill"], HALF, TypeError, "not a str"),
        (1, HALF, TypeError, "not iterable"),
    ],
)
def test_mistakes_are_errors(texts: Any, words: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _kernel.word_counts(texts, words)


@compiled
def test_no_call_keeps_the_vocabulary() -> None:
    words = bytearray(SLOTS // 8)
    _kernel.word_counts(["kill", "\ud800", None], words)
    with pytest.raises(TypeError):
        _kernel.word_counts([1], words)
    words.append(0)  # a BufferError where somebody still holds the buffer
    with pytest.raises(ValueError, match="not 131073"):
        _kernel.word_counts(["kill"], words)
    words.append(0)


def test_share_counts_one_known_word_more() -> None:
    texts = ["", None, "🔪", "kill", "wir", "we töten you", "wir " * 300]
    expected = [0, 0, 0, 0, 1 / 2, 1 / 4, 300 / 301]
    assert unseen_share(texts, WORDS_KNOWN) == expected
    assert unseen_share([], WORDS_KNOWN) == []


def test_a_share_at_the_limit_is_supported() -> None:
    texts = ["wir", "wir wir", "we", "", None]
    for limit, expected in {0.5: [True, False], 0.49: [False, False], 1: [True, True]}.items():
        found = Vocabulary(("xx",), WORDS_KNOWN, limit).supports(texts)
        assert found == [*expected, True, True, None]


def test_without_the_kernel_the_same_texts_are_supported(
    clf: hostrisk.Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*ENGLISH, *chain(*FOREIGN.values()), *(text for text, *_ in ODD)]
    expected = clf.decide(texts)
    monkeypatch.setattr(linear, "_kernel", None)
    assert clf.decide(texts) == expected


# --- the model -----------------------------------------------------------------------------------


def parts(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest of a model folder, but for what is added when it is saved, and its tensors."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for name in ("format", "features", "files"):
        del manifest[name]
    return manifest, read_tensors((folder / WEIGHTS).read_bytes())


@pytest.fixture
def old_dir(model_dir: Path) -> Path:
    """A model folder as they were before they had a vocabulary."""
    manifest, tensors = parts(model_dir)
    del manifest["language"], tensors[WORDS]
    save_artifact(model_dir, manifest, write_tensors(tensors))
    return model_dir


def test_the_bundled_model_knows_english(clf: hostrisk.Classifier) -> None:
    vocabulary = clf.artifact.vocabulary
    assert vocabulary is not None
    assert vocabulary.languages == ("en",)
    assert 0 < vocabulary.limit < 1
    common = "the and you they kill people should never because".split()  # noqa: SIM905
    assert unseen_share(common, vocabulary.words) == [0] * len(common)


def test_a_model_without_a_vocabulary_cannot_tell(old_dir: Path, clf: hostrisk.Classifier) -> None:
    old = hostrisk.load(old_dir)
    assert old.artifact.vocabulary is None
    texts = [*ENGLISH, GERMAN, None]
    found = old.decide(texts)
    assert [decision.supported for decision in found] == [None] * len(texts)
    assert old.score(texts) == clf.score(texts)
    assert [decision.flagged for decision in found[-2:]] == [False, None]
    assert old.decide(GERMAN).supported is None
    assert list(verify(old_dir))[-1].startswith("golden")


DAMAGED: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(language=None), "language must be an object, not None"),
    (lambda m: m.update(language=["en"]), r"language must be an object, not \['en'\]"),
    (lambda m: m["language"].pop("names"), "language.names is None; it must be a list"),
    (lambda m: m["language"].update(names="en"), "language.names is 'en'; it must be a list"),
    (lambda m: m["language"].update(names=["en", 1]), "names is .*; it must be a list"),
    (lambda m: m["language"].pop("limit"), "language.limit is missing; it must be a number"),
    (lambda m: m["language"].update(limit="1"), "language.limit is '1'; it must be a number"),
    (lambda m: m["language"].update(limit=True), "language.limit is True; it must be a number"),
    (lambda m: m["language"].update(limit=-0.1), "language.limit is -0.1; it must be from 0 to 1"),
    (lambda m: m["language"].update(limit=1.1), "language.limit is 1.1; it must be from 0 to 1"),
    (lambda m: m.pop("language"), r"holds the tensors .*'words'\], not \['heads', 'main'\]"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGED, ids=[words for _, words in DAMAGED])
def test_a_damaged_section_is_refused(
    model_dir: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    manifest = json.loads((model_dir / MANIFEST).read_bytes())
    change(manifest)
    (model_dir / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message) as caught:
        load_artifact(model_dir)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, r"holds the tensors \['heads', 'main'\], not \['heads', 'main', 'words'\]"),
        (np.zeros(SLOTS // 8 - 1, np.int8), r"words is I8 .*; it must be I8 of shape \[131072\]"),
        (np.zeros(SLOTS, np.int8), r"words is I8 .*; it must be I8 of shape \[131072\]"),
        (np.zeros((SLOTS // 8, 1), np.int8), r"words is I8 .*; it must be I8 of shape \[131072\]"),
        (np.zeros(SLOTS // 8, np.uint8), r"words is U8 .*; it must be I8 of shape \[131072\]"),
    ],
    ids=["missing", "short", "long", "square", "unsigned"],
)
def test_a_damaged_vocabulary_is_refused(
    model_dir: Path, tmp_path: Path, words: Any, message: str
) -> None:
    manifest, tensors = parts(model_dir)
    tensors[WORDS] = words
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(ModelError, match=message):
        save_artifact(tmp_path / "new", manifest, write_tensors(kept))


# --- decisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_supported(clf: hostrisk.Classifier, text: str) -> None:
    decision = clf.decide(text)
    assert decision.supported is True
    assert decision.flagged is (clf.score(text) >= clf.threshold)


@pytest.mark.parametrize("language", FOREIGN)
def test_other_languages_are_undecided_and_never_safe(
    clf: hostrisk.Classifier, language: str
) -> None:
    for text in FOREIGN[language]:
        decision = clf.decide(text)
        assert decision.supported is False
        assert decision.flagged is None
        assert decision.score == clf.score(text) < decision.threshold
        assert (decision.kind, decision.targets) == (None, ())
        assert clf.decide([text]) == [decision]
        assert all(clf.decide(text, threshold=p).flagged is not False for p in (0, 0.5, 1))


def test_an_unsupported_text_that_reaches_the_threshold_is_flagged(
    clf: hostrisk.Classifier,
) -> None:
    score = clf.score(GERMAN)
    found = clf.decide(GERMAN, threshold=score)
    assert (found.flagged, found.supported, found.score) == (True, False, score)
    assert found.kind is not None
    assert found.targets
    above = clf.decide(GERMAN, threshold=np.nextafter(score, 1))
    assert (above.flagged, above.supported, above.kind) == (None, False, None)
    given = clf.decide([GERMAN, GERMAN], scores=[0.99, 0.0])
    assert [decision.flagged for decision in given] == [True, None]


@pytest.mark.parametrize(
    ("supported", "score", "flagged"),
    [
        (True, 0.5, True), (True, 0.4, False),
        (False, 0.5, True), (False, 0.4, None),
        (None, 0.5, True), (None, 0.4, False),
    ],
)  # fmt: skip
def test_flagged_follows_from_score_and_support(
    clf: hostrisk.Classifier, supported: bool | None, score: float, flagged: bool | None
) -> None:
    found = decide_one(
        clf.artifact, clf.policy, GERMAN, score, threshold=0.5, policy_id="p", supported=supported
    )
    assert (found.flagged, found.supported) == (flagged, supported)
    assert (found.kind is None) == (not flagged)


@pytest.mark.parametrize(
    "texts",
    [
        [GERMAN, None, ENGLISH[1]],
        (GERMAN, None, ENGLISH[1]),
        np.array([GERMAN, None, ENGLISH[1]], dtype=object),
        pd.Series([GERMAN, None, ENGLISH[1]], index=[7, 8, 9]),
        pa.array([GERMAN, None, ENGLISH[1]]),
        pa.chunked_array([[GERMAN], [None, ENGLISH[1]]]),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_a_null_text_is_neither_supported_nor_not(clf: hostrisk.Classifier, texts: Any) -> None:
    found = clf.decide(texts)
    assert [decision.supported for decision in found] == [False, None, True]
    assert [decision.flagged for decision in found] == [None, None, False]
    assert found[1].score is None


def test_a_text_without_words_is_supported(clf: hostrisk.Classifier) -> None:
    for text in ("", " ", "12 345", "https://example.com/wir", "\ud800"):
        decision = clf.decide(text)
        assert (decision.supported, decision.flagged) == (True, False)


# --- the command line ----------------------------------------------------------------------------

NOTE = "texts are in no language that the model was trained for and are undecided (?), not safe\n"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments, input=b"")
    assert result.exit_code == 0, result.output
    return result


def records(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*arguments, "--format", "jsonl").stdout.splitlines()]


def test_score_prints_a_question_mark_and_a_note() -> None:
    result = run("score", GERMAN, *ENGLISH[:2], FOREIGN["Korean"][0])
    rows = [line.split()[1] for line in result.stdout.splitlines()]
    assert rows == ["FLAGGED", "?", "yes", "no", "?"]
    assert result.stderr == f"hostrisk: 2 of 4 {NOTE}"
    assert run("score", *ENGLISH).stderr == ""


def test_score_adds_the_column_supported(tmp_path: Path) -> None:
    rows = records("score", GERMAN, ENGLISH[0], ENGLISH[1])
    assert [row["supported"] for row in rows] == [False, True, True]
    assert [row["flagged"] for row in rows] == [None, True, False]
    out = tmp_path / "out.parquet"
    assert run("score", GERMAN, ENGLISH[0], "--out", str(out)).stderr.endswith(f"1 of 2 {NOTE}")
    table = parquet.read_table(out)
    assert table.schema.field("supported").type == pa.bool_()
    assert table["supported"].to_pylist() == [False, True]
    assert table["flagged"].to_pylist() == [None, True]
    first, second = run("score", GERMAN, ENGLISH[1], "--format", "csv").stdout.splitlines()[1:]
    assert first.endswith(",,,,false")
    assert second.endswith(",false,,,true")


def test_nulls_and_flagged_texts_are_not_counted_as_undecided(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    texts = [None, GERMAN, ENGLISH[1]]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), "utf-8")
    result = run("score", str(path), "--format", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["supported"] for row in rows] == [None, False, True]
    assert [row["flagged"] for row in rows] == [None, None, False]
    assert f"1 of 3 {NOTE}" in result.stderr
    assert "1 of 3 texts are null" in result.stderr
    flagged = run("score", "--threshold", "0", GERMAN)
    assert flagged.stdout.splitlines()[1].split()[1] == "yes"
    assert flagged.stderr == ""


def test_a_model_without_a_vocabulary_has_no_question_marks(old_dir: Path) -> None:
    result = run("score", "--model", str(old_dir), GERMAN)
    assert result.stdout.splitlines()[1].split()[1] == "no"
    assert result.stderr == ""
    (row,) = records("score", "--model", str(old_dir), GERMAN)
    assert (row["supported"], row["flagged"]) == (None, False)


def test_explain_says_undecided() -> None:
    shown = run("explain", GERMAN).stdout
    assert "(undecided at the threshold " in shown
    assert "language none that the model was trained for" in shown
    assert "language" not in run("explain", ENGLISH[1]).stdout
    assert "(flagged at the threshold 0)" in run("explain", "--threshold", "0", GERMAN).stdout
    assert "(not flagged at the threshold " in run("explain", ENGLISH[1]).stdout
    found = json.loads(run("explain", "--format", "json", GERMAN).stdout)
    assert (found["flagged"], found["supported"]) == (None, False)


# --- real posts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("germeval_violence", 0.9, 1.0),
        ("bengali_toxic", 0.9, 1.0),
        ("dktc_korean", 0.9, 1.0),
        ("parler_violence", 0.0, 0.04),
    ],
)
def test_share_of_real_posts_that_is_unsupported(
    clf: hostrisk.Classifier, name: str, least: float, most: float
) -> None:
    folder = os.environ.get("HOSTRISK_DATA")
    if not folder:
        pytest.skip("HOSTRISK_DATA names no folder of labeled data")
    posts = parquet.read_table(Path(folder) / f"{name}.parquet", columns=["text"])["text"]
    sample = posts.take(np.random.default_rng(0).choice(len(posts), 500, replace=False))
    found = [decision.supported for decision in clf.decide(sample)]
    assert least <= found.count(False) / len(found) <= most
