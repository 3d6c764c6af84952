"""The engines: reference, NumPy and the compiled kernel give the same results, bit for bit."""

from __future__ import annotations

import contextlib
import struct
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostrisk import _reference, _vectors, features
from hostrisk.features import SLOTS, STRIDE, WINDOW
from hostrisk.normalize import MARK, SIDE, WORD, Token
from tests.test_normalize import EXAMPLES, any_text

if TYPE_CHECKING:
    from types import ModuleType

try:
    from hostrisk import _kernel
except ImportError:  # no compiler
    _kernel = None  # type: ignore[assignment]

compiled = pytest.mark.skipif(_kernel is None, reason="the kernel is not compiled")
ENGINES = [
    pytest.param(_reference, id="reference"),
    pytest.param(_vectors, id="vectors"),
    pytest.param(_kernel, id="kernel", marks=compiled),
]
WHOLE = [ENGINES[0], ENGINES[2]]  # those that have every function

WEIGHTS = memoryview(np.random.default_rng(7).integers(-128, 128, SLOTS).astype(np.int8))
HEADS = memoryview(np.random.default_rng(8).integers(-128, 128, 3 * 1000).astype(np.int8))
SCALE, BIAS = 0.0173, -0.71

many = settings(max_examples=150, deadline=None)
few = settings(max_examples=40, deadline=None)
texts = st.lists(st.none() | any_text, max_size=8)
# Enough tokens for several windows, of few letters, so that joins cross their ends.
long_text = st.lists(
    st.sampled_from(["kill", "k", "i l", "sh00t", "l.l", "🔪", "#ToMe", "you", "http://a"]),
    min_size=100,
    max_size=400,
).map(" ".join)


def scores(engine: ModuleType, rows: Any, weights: Any = WEIGHTS) -> list[float | None]:
    found: list[float | None] = engine.score_list(rows, weights, SCALE, BIAS)
    return found


def rows_of(engine: ModuleType, given_texts: Any) -> list[list[int]]:
    pointers, slots = engine.features(given_texts)
    ends = [number for (number,) in struct.iter_unpack("<q", pointers)]
    flat = [number for (number,) in struct.iter_unpack("<I", slots)]
    assert ends[0] == 0
    assert ends[-1] == len(flat)
    return [flat[start:stop] for start, stop in pairwise(ends)]


def arrow(array: Any, weights: Any = WEIGHTS) -> list[float]:
    schema, data = array.__arrow_c_array__()
    return np.frombuffer(_kernel.score_arrow(schema, data, weights, SCALE, BIAS)).tolist()


def only(*words: str) -> memoryview:
    """Weights that know the slots of these words' own hashes, and nothing else."""
    weights = np.zeros(SLOTS, np.int8)
    for word in words:
        token = Token(word.encode(), MARK, 0, 0)
        weights[[*features.slots_of([token])]] = 127
    return memoryview(weights)


# --- the same results ----------------------------------------------------------------------------


@pytest.mark.parametrize("engine", WHOLE)
@pytest.mark.parametrize(("text", "reading"), EXAMPLES)
def test_every_engine_folds_by_the_rules(engine: ModuleType, text: str, reading: str) -> None:
    kinds = {"<": MARK, "(": SIDE}
    tokens = [
        Token(word.strip("<>()").encode(), kinds.get(word[0], WORD), 0, 0)
        for word in reading.split()
    ]
    assert rows_of(engine, [text]) == [sorted(features.slots_of(tokens))]


@pytest.mark.parametrize("engine", ENGINES[1:])
@many
@given(texts)
def test_scores_are_equal(engine: ModuleType, rows: list[str | None]) -> None:
    assert scores(engine, rows) == scores(_reference, rows)


@compiled
@many
@given(any_text)
def test_one_text_has_the_score_it_has_in_a_list(text: str) -> None:
    one = _kernel.score_one(text, WEIGHTS, SCALE, BIAS)
    assert [one] == [_reference.score_one(text, WEIGHTS, SCALE, BIAS)] == scores(_kernel, [text])


@compiled
@many
@given(texts)
def test_features_are_equal(rows: list[str | None]) -> None:
    assert _kernel.features(rows) == _reference.features(rows)


@compiled
@many
@given(any_text, st.sampled_from([1, 2, 3, 500]))
def test_head_sums_are_equal(text: str, columns: int) -> None:
    arguments = text, WEIGHTS, SCALE, BIAS, HEADS, columns
    assert _kernel.head_sums(*arguments) == _reference.head_sums(*arguments)


@few
@given(st.lists(long_text, min_size=1, max_size=2))
def test_long_texts_are_equal(rows: list[str]) -> None:
    expected = scores(_reference, rows)
    assert scores(_vectors, rows) == expected
    if _kernel is not None:
        assert scores(_kernel, rows) == expected
        assert _kernel.features(rows) == _reference.features(rows)
        arguments = rows[0], WEIGHTS, SCALE, BIAS, HEADS, 3
        assert _kernel.head_sums(*arguments) == _reference.head_sums(*arguments)


@compiled
def test_every_code_point_is_folded_as_by_the_reference() -> None:
    codes = [*range(0x20000), 0x20000, 0x3FFFF, 0x40000, 0xDFFFF, 0xE0000, 0xE0FFF, 0x10FFFF]
    rows = [
        " ".join(f"ab{chr(code)}c" for code in codes[start : start + WINDOW // 4])
        for start in range(0, len(codes), WINDOW // 4)
    ]
    for at in range(0, len(rows), 256):
        some = rows[at : at + 256]
        if scores(_vectors, some) != scores(_kernel, some):
            assert _kernel.features(some) == _reference.features(some)
            pytest.fail("vectors differ")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, *range(WINDOW - 3, WINDOW + 3), 2 * STRIDE + WINDOW + 1])
def test_texts_around_the_ends_of_windows(engine: ModuleType, count: int) -> None:
    rows = [" ".join(f"w{chr(97 + at % 26)}{chr(97 + at // 26)}" for at in range(count))]
    rows += [rows[0] + " kill k i l l", "k i " + rows[0]]
    assert scores(engine, rows) == scores(_reference, rows)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_token_at_the_end_of_a_long_text_is_found(engine: ModuleType) -> None:
    filler = "lorem ipsum dolor sit amet, consectetur " * 2_500
    assert len(filler) == 100_000
    quiet, found = scores(engine, [filler, filler + "needle"], only("needle"))
    assert quiet == _reference.probability(BIAS)
    assert found is not None
    assert found > _reference.probability(BIAS)


@pytest.mark.parametrize("engine", ENGINES)
def test_neighbours_meet_in_one_window_wherever_they_stand(engine: ModuleType) -> None:
    pair = features.slots_of([Token(b"foo", MARK, 0, 0), Token(b"bar", MARK, 0, 0)])
    weights = np.zeros(SLOTS, np.int8)
    weights[[*pair - features.slots_of([Token(b"foo", MARK, 0, 0)])]] = 1
    weights[[*features.slots_of([Token(b"bar", MARK, 0, 0)])]] = 0
    rows = [f"{'x1z9 ' * before}foo bar{' x1z9' * 200}" for before in range(90, 230, 3)]
    found = scores(engine, rows, memoryview(weights))
    assert all(score is not None and score > _reference.probability(BIAS) for score in found)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_long_word_and_one_long_run(engine: ModuleType) -> None:
    rows = ["ab" * 20_000, "a" * 20_000, "a " * 20_000, "#" * 20_000, "1" * 20_000, "\0" * 20_000]
    rows += ["é" * 99, "a1" * 99, "http://" + "a" * 20_000, "你" * 999, "aé" * 40]
    assert scores(engine, rows) == scores(_reference, rows)


@pytest.mark.parametrize("engine", ENGINES)
def test_null_is_null_and_empty_is_the_bias(engine: ModuleType) -> None:
    bias = _reference.probability(BIAS)
    assert scores(engine, [None, "", None, " .", "\ud800"]) == [None, bias, None, bias, bias]
    assert scores(engine, []) == []
    assert scores(engine, (None,)) == [None]


@pytest.mark.parametrize("engine", WHOLE)
def test_null_has_no_features(engine: ModuleType) -> None:
    assert rows_of(engine, [None, "", "k1"])[:2] == [[], []]
    assert engine.features([]) == (bytes(8), b"")


def test_vectors_forget_when_they_know_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"kill {chr(at)}{chr(at + 9)}" for at in range(0x4E00, 0x4E80)]
    expected = scores(_reference, rows)
    monkeypatch.setattr(_vectors, "_MOST_CHARACTERS", 20)
    monkeypatch.setattr(_vectors, "_MOST_WINDOWS", 3)
    assert scores(_vectors, rows) == expected
    monkeypatch.setattr(_vectors, "_BATCH", 3)
    assert scores(_vectors, rows + rows) == expected + expected


def test_vectors_forget_what_was_left_half_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    rows = ["interrupted kill", "you"]
    with monkeypatch.context() as patch:
        patch.setattr(_vectors._Vocabulary, "_number", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scores(_vectors, rows)
    assert scores(_vectors, rows) == scores(_reference, rows)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_threads_give_the_same_result(engine: ModuleType) -> None:
    rng = np.random.default_rng(3)
    words = [f"{a}{b}l{c}" for a in "kbs" for b in "io1é" for c in "lmn 🔪"]
    rows = [" ".join(rng.choice(words, 40)) + f" {at}x" for at in range(600)]
    weights = [WEIGHTS, only(*words)]
    expected = [scores(engine, rows, table) for table in weights]
    if engine is _vectors:
        _vectors._vocabulary = _vectors._Vocabulary()
    with ThreadPoolExecutor(8) as executor:
        jobs = [executor.submit(scores, engine, rows[at:], weights[at % 2]) for at in range(24)]
        for at, job in enumerate(jobs):
            assert job.result() == expected[at % 2][at:]


# --- Arrow ---------------------------------------------------------------------------------------

TYPES = [pa.string(), pa.large_string(), pa.string_view()]
ROWS = ["kill", None, "", "k1ll them 🔪", "a text of more than twelve bytes", "é" * 50, None, "x"]


def expected_of(rows: list[str | None]) -> list[float]:
    return [0.0 if score is None else score for score in scores(_reference, rows)]


@compiled
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_arrow_scores_are_equal(kind: Any) -> None:
    array = pa.array(ROWS * 3, kind)
    for start in range(20):
        for length in (0, 1, 7, 24):
            piece = array.slice(start, length)
            assert arrow(piece) == expected_of(piece.to_pylist())


@compiled
@pytest.mark.parametrize("kind", TYPES, ids=str)
@few
@given(rows=st.lists(st.none() | st.text(max_size=30), max_size=20), start=st.integers(0, 20))
def test_any_arrow_array_scores_as_its_texts(kind: Any, rows: list[str | None], start: int) -> None:
    array = pa.array(rows, kind).slice(start)
    assert arrow(array) == expected_of(array.to_pylist())


@compiled
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_arrow_arrays_may_be_empty_null_or_chunks(kind: Any) -> None:
    assert arrow(pa.array([], kind)) == []
    assert arrow(pa.nulls(3, kind)) == [0.0] * 3
    chunked = pa.chunked_array([pa.array(ROWS, kind), pa.array([], kind), pa.array(["k"], kind)])
    found = [score for chunk in chunked.chunks for score in arrow(chunk)]
    assert found == expected_of([*ROWS, "k"])


def raw_array(data: bytes, ends: list[int], *, large: bool = False, shift: int = 0) -> Any:
    """An Arrow array that nobody has validated, its offsets ``shift`` bytes off alignment."""
    offsets = bytes(shift) + np.array(ends, np.int64 if large else np.int32).tobytes()
    buffers = [None, pa.py_buffer(offsets).slice(shift), pa.py_buffer(data)]
    kind = pa.large_string() if large else pa.string()
    return pa.Array.from_buffers(kind, len(ends) - 1, buffers)


@compiled
@many
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_bytes_that_are_not_text_separate_words(data: bytes, cuts: list[int], large: bool) -> None:
    ends = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    rows = [data[a:b].decode(errors="replace") for a, b in pairwise(ends)]
    assert arrow(raw_array(data, ends, large=large)) == expected_of(rows)


@compiled
@pytest.mark.parametrize("tail", [b"\xf0", b"\xf0\x9f\x94", b"\xe2\x80", b"\xc3", b"\xff", b"\x80"])
def test_text_cut_inside_a_character_is_read_to_its_end(tail: bytes) -> None:
    array = raw_array(b"kill" + tail + b"\x94\xaa more", [0, 4 + len(tail)])
    assert arrow(array) == expected_of(["kill"])


@compiled
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("shift", [1, 3])
def test_offsets_need_no_alignment(large: bool, shift: int) -> None:
    array = raw_array(b"killyou", [0, 4, 7], large=large, shift=shift)
    assert arrow(array) == expected_of(["kill", "you"])


@compiled
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("ends", [[0, 4, 2], [0, 4, 2, 4], [0, -3, 4], [0, -5, -2, 4]])
def test_corrupt_offsets_are_refused(large: bool, ends: list[int]) -> None:
    with pytest.raises(ValueError, match="corrupt"):
        arrow(raw_array(b"kill", ends, large=large))


@compiled
@pytest.mark.parametrize(
    ("length", "buffer", "offset"),
    [(-1, 0, 0), (20, -1, 0), (20, 1, 0), (20, 0, -1), (20, 0, 5), (2**31 - 1, 0, 2**31 - 1)],
)
def test_corrupt_views_are_refused(length: int, buffer: int, offset: int) -> None:
    view = struct.pack("<i4sii", length, b"kill", buffer, offset)
    data = b"kill them all, we said. "
    buffers = [None, pa.py_buffer(view), pa.py_buffer(data)]
    array = pa.Array.from_buffers(pa.string_view(), 1, buffers)
    with pytest.raises(ValueError, match="corrupt"):
        arrow(array)


@compiled
@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 2]),
        pa.array([b"kill"]),
        pa.array([b"kill"], pa.binary_view()),
        pa.array(["kill"]).dictionary_encode(),
        pa.array([["kill"]]),
        pa.array([{"text": "kill"}]),
        pa.nulls(2),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_arrays_of_other_types_are_refused(array: Any) -> None:
    with pytest.raises(TypeError, match="Arrow format"):
        arrow(array)


@compiled
def test_used_and_mistaken_capsules_are_refused() -> None:
    schema, data = pa.array(["kill"]).__arrow_c_array__()
    with pytest.raises(ValueError, match="PyCapsule"):
        _kernel.score_arrow(data, schema, WEIGHTS, SCALE, BIAS)
    with pytest.raises(ValueError, match="PyCapsule"):
        _kernel.score_arrow("kill", data, WEIGHTS, SCALE, BIAS)
    pa.Array._import_from_c_capsule(schema, data)
    with pytest.raises(ValueError, match="used already"):
        _kernel.score_arrow(schema, data, WEIGHTS, SCALE, BIAS)


# --- what is refused, and that nothing is kept ---------------------------------------------------


def bad_calls() -> dict[str, tuple[str, tuple[Any, ...], type[Exception]]]:
    """Name -> function, arguments of which ``weights`` stands for a table, and the exception."""
    w, numbers = "weights", (SCALE, BIAS)
    arrow_pair = pa.array(["kill"]).__arrow_c_array__()
    return {
        "no text": ("score_one", (None, w, *numbers), TypeError),
        "bytes": ("score_one", (b"kill", w, *numbers), TypeError),
        "no number": ("score_one", ("kill", w, "1", BIAS), TypeError),
        "short": ("score_one", ("kill", bytes(SLOTS - 1), *numbers), ValueError),
        "none": ("score_one", ("kill", None, *numbers), TypeError),
        "list short": ("score_list", (["kill"], bytes(SLOTS + 1), *numbers), ValueError),
        "list of numbers": ("score_list", (["kill", "\ud800", 1], w, *numbers), TypeError),
        "no list": ("score_list", (1, w, *numbers), TypeError),
        "arrow short": ("score_arrow", (*arrow_pair, b"", *numbers), ValueError),
        "strided": ("score_list", (["kill"], memoryview(bytes(2 * SLOTS))[::2], *numbers),
                    BufferError),
        "features of numbers": ("features", (["kill", "\ud800", 1],), TypeError),
        "features of nothing": ("features", (), TypeError),
        "heads short": ("head_sums", ("kill", bytes(1), *numbers, HEADS, 3), ValueError),
        "heads odd": ("head_sums", ("kill", w, *numbers, HEADS, 7), ValueError),
        "no column": ("head_sums", ("kill", w, *numbers, HEADS, 0), ValueError),
        "less than one": ("head_sums", ("kill", w, *numbers, HEADS, -3), ValueError),
        "no heads": ("head_sums", ("kill", w, *numbers, b"", 1), ValueError),
        "too many heads": ("head_sums", ("kill", w, *numbers, bytes(SLOTS + 1), 1), ValueError),
        "heads of text": ("head_sums", ("\ud800", w, *numbers, "heads", 1), TypeError),
    }  # fmt: skip


@compiled
@pytest.mark.parametrize("name", bad_calls())
def test_mistakes_raise_and_keep_nothing(name: str) -> None:
    function, arguments, error = bad_calls()[name]
    table = bytearray(SLOTS)
    arguments = tuple(table if item == "weights" else item for item in arguments)
    kept = [item for item in arguments if isinstance(item, list | bytearray | memoryview)]
    before = [*map(sys.getrefcount, kept)]
    for _ in range(3):
        with pytest.raises(error):
            getattr(_kernel, function)(*arguments)
    assert [*map(sys.getrefcount, kept)] == before
    table.append(0)  # a BufferError where somebody still holds the buffer


@compiled
def test_good_calls_keep_nothing() -> None:
    table, heads = bytearray(SLOTS), bytearray(30)
    text = "kill " * 2_000 + "\ud800"
    rows = [text, None, "é"]
    before = sys.getrefcount(text), sys.getrefcount(rows)
    for _ in range(3):
        _kernel.score_one(text, table, SCALE, BIAS)
        _kernel.score_list(rows, table, SCALE, BIAS)
        _kernel.head_sums(text, table, SCALE, BIAS, heads, 3)
        _kernel.features(rows)
    assert (sys.getrefcount(text), sys.getrefcount(rows)) == before
    table.append(0)
    heads.append(0)


@compiled
def test_no_memory_is_lost() -> None:
    text = "kill " * 10_000 + "\ud800"  # encoded anew by each call
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("score_one", (text, WEIGHTS, SCALE, BIAS)),
        ("score_one", (text, b"", SCALE, BIAS)),
        ("score_list", ([text], WEIGHTS, SCALE, BIAS)),
        ("score_list", ([text, 1], WEIGHTS, SCALE, BIAS)),
        ("features", ([text],)),
        ("features", ([text, 1],)),
        ("head_sums", (text, WEIGHTS, SCALE, BIAS, HEADS, 3)),
        ("head_sums", (text, WEIGHTS, SCALE, BIAS, HEADS, 7)),
    ]
    tracemalloc.start()
    try:
        for function, arguments in calls:
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(5):
                with contextlib.suppress(TypeError, ValueError):
                    getattr(_kernel, function)(*arguments)
            after, _ = tracemalloc.get_traced_memory()
            assert after - before < len(text), function
    finally:
        tracemalloc.stop()


@compiled
def test_a_scorer_is_clean_after_an_error() -> None:
    with pytest.raises(TypeError):
        _kernel.score_list(["kill them all", 1], WEIGHTS, SCALE, BIAS)
    with pytest.raises(ValueError, match="corrupt"):
        arrow(raw_array(b"kill them", [0, 9, 3]))
    assert scores(_kernel, ["you", "kill"]) == scores(_reference, ["you", "kill"])
