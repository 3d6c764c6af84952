"""Features: the specification, step by step, and pinned by numbers."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostrisk import features
from hostrisk.features import KN, M1, M2, M3, M4, SEED, SLOTS, STRIDE, WINDOW
from hostrisk.normalize import MARK, SIDE, WORD, Token, fold

MASK = (1 << 64) - 1
CHANGED = (
    "the features have changed: every trained weight is void. If that is wanted, change "
    "FEATURE_ID in features.py, train again and pin the new slots here"
)


def slots(text: str) -> list[int]:
    return sorted(features.slots_of(fold(text)))


def word(text: str, kind: int = WORD) -> Token:
    return Token(text.encode(), kind, 0, len(text))


def slot(value: int) -> int:
    return (value & MASK) >> 44


# fmt: off
PINNED = {
    "k!ll": [
        17326, 314357, 615321, 632112, 758670, 835915, 838880, 891508, 910113, 945431,
    ],
    "@Bob: 🔪 sh00t": [
        10084, 227677, 289830, 322604, 392871, 449085, 454762, 473147, 502991, 526700,
        536830, 564909, 566738, 618053, 618761, 628716, 651823, 659564, 672155, 679388,
        689759, 698683, 704522, 719062, 815325, 844714, 894354, 939207,
    ],
    "Убью http://x.co 7am": [
        2383, 27771, 125357, 168891, 221189, 229434, 244819, 333107, 498845, 500068,
        518393, 537935, 559344, 561999, 563319, 624216, 694291, 696295, 739243, 753806,
        774756, 816877, 898152, 929446, 990835, 996738, 1001122, 1010754,
    ],
}
# fmt: on


def test_feature_id_is_pinned() -> None:
    assert features.FEATURE_ID == "hostrisk-ngrams-1", "pin the slots of the new features below"


@pytest.mark.parametrize("text", PINNED)
def test_slots_are_pinned(text: str) -> None:
    assert slots(text) == PINNED[text], CHANGED


# --- step by step --------------------------------------------------------------------------------


def test_windows_are_pinned() -> None:
    assert (WINDOW, STRIDE, SLOTS) == (128, 96, 1 << 20), CHANGED
    assert [*features.windows(0)] == [(0, 0)]
    assert [*features.windows(128)] == [(0, 128)]
    assert [*features.windows(129)] == [(0, 128), (96, 129)]
    assert [*features.windows(224)] == [(0, 128), (96, 224)]
    assert [*features.windows(225)] == [(0, 128), (96, 224), (192, 225)]


@given(st.integers(0, 5_000))
def test_windows_cover_all_tokens_and_overlap(count: int) -> None:
    spans = [*features.windows(count)]
    assert (spans[0][0], spans[-1][1]) == (0, count)
    assert all(stop - start <= WINDOW for start, stop in spans)
    for (start, stop), (after, _) in itertools.pairwise(spans):
        assert after - start == STRIDE
        assert stop - after == WINDOW - STRIDE


@given(st.binary(min_size=1, max_size=64))
def test_hash_takes_eight_bytes_at_a_time(token: bytes) -> None:
    value = SEED
    padded = token + bytes(-len(token) % 8)
    for at in range(0, len(padded), 8):
        chunk = int.from_bytes(padded[at : at + 8], "little")
        value = (value ^ chunk) * M1 % 2**64
        value ^= value >> 29
    assert features.token_hash(token) == value


def test_word_gives_itself_and_its_framed_grams() -> None:
    grams = [b" ki", b"kil", b"ill", b"ll ", b" kil", b"kill", b"ill ", b" kill", b"kill "]
    expected = {slot(features.token_hash(b"kill") * M2)}
    expected |= {slot(int.from_bytes(gram, "little") * KN[len(gram)]) for gram in grams}
    assert features.slots_of([word("kill")]) == expected


def test_letter_alone_has_one_gram() -> None:
    assert len([*features.token_features([word("k")])]) == 2


@pytest.mark.parametrize("kind", [MARK, SIDE])
def test_marks_and_raw_forms_have_no_grams(kind: int) -> None:
    found = [*features.token_features([word("k1ll", kind)])]
    assert found == [(slot(features.token_hash(b"k1ll") * M2), (0,))]


def test_pairs_are_at_distance_one_and_two() -> None:
    tokens = [word(text, MARK) for text in "abcd"]
    a, b, c, d = (features.token_hash(token.text) for token in tokens)
    found = [item for item in features.token_features(tokens) if len(item[1]) == 2]
    assert found == [
        (slot((a * M3 & MASK ^ b) * M2), (0, 1)),
        (slot((b * M3 & MASK ^ c) * M2), (1, 2)),
        (slot((a * M4 & MASK ^ c) * M2), (0, 2)),
        (slot((c * M3 & MASK ^ d) * M2), (2, 3)),
        (slot((b * M4 & MASK ^ d) * M2), (1, 3)),
    ]


def test_pairs_pass_over_raw_forms() -> None:
    tokens = [word("i", MARK), word("kill", MARK), word("k1ll", SIDE), word("you", MARK)]
    pairs = [indexes for _, indexes in features.token_features(tokens) if len(indexes) == 2]
    assert pairs == [(0, 1), (1, 3), (0, 3)]


def test_order_of_words_matters_repeats_do_not() -> None:
    assert slots("you kill them") != slots("them kill you")
    assert slots("kill kill kill kill") == slots("kill kill kill")


def test_logit_is_the_sum_over_the_root_of_the_count() -> None:
    weights = memoryview(bytes([5, 7, 0x80, 0]) + bytes(SLOTS - 4)).cast("b")
    assert features.logit({0, 1, 2, 3}, weights, 0.5, -1.0) == 0.5 * (5 + 7 - 128) / 2 - 1.0
    assert features.logit({0, 5}, weights, 1.0, 0.0) == 5 / math.sqrt(2)
    assert features.logit(set(), weights, 1.0, -3.0) == -3.0


def test_windows_of_a_text_are_of_its_tokens() -> None:
    assert features.text_windows("") == [[]]
    assert features.text_windows("kill you") == [fold("kill you")]
    first, last = features.text_windows("wb " * 130)
    assert (len(first), len(last)) == (128, 34)
