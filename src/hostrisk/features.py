"""Reference features: the specification that the kernel and the trained weights follow.

The feature id below names this specification and the folding of :mod:`hostrisk.normalize`. Any
change to either changes every score, so it needs a new id and newly trained weights.

1. Tokens are taken in windows of 128, a new window every 96 until one reaches the end; a text
   of 128 tokens or fewer is one window.
2. A token has the hash ``H``: start with ``SEED``; for each 8 bytes (little-endian, the last
   padded with zeros) ``h = (h ^ chunk) * M1 mod 2^64``, then ``h ^= h >> 29``.
3. Features of a window are slots, the top 20 bits of a 64-bit product: each token
   ``H * M2``; each pair of tokens, side tokens left out, at distance one
   ``(H1 * M3 ^ H2) * M2`` and at distance two ``(H1 * M4 ^ H2) * M2``; and for each word, framed
   by one space on both sides, each run of n = 3, 4, 5 bytes ``g * KN[n]``, ``g`` the bytes as a
   little-endian number.
4. A slot counts once in a window (binary), and the window's vector has length 1: the logit of a
   window is ``scale * (sum of int8 weights) / sqrt(number of distinct slots) + bias``.
5. A text's logit is the highest of its windows.

Hashing trick: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hostrisk.normalize import SIDE, WORD, Token, fold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "FEATURE_ID", "SLOTS", "STRIDE", "WINDOW", "logit", "slots_of", "token_features",
    "token_slot", "windows",
]  # fmt: skip

FEATURE_ID = "hostrisk-ngrams-1"
BITS = 20
SLOTS = 1 << BITS
SHIFT = 64 - BITS
WINDOW = 128
STRIDE = 96
SEED = 0x9E3779B97F4A7C15
M1 = 0xFF51AFD7ED558CCD
M2 = 0xC4CEB9FE1A85EC53
M3 = 0x9FB21C651E98DF25
M4 = 0xD1B54A32D192ED03
KN = {3: 0xD6E8FEB86659FD93, 4: 0xA0761D6478BD642F, 5: 0xE7037ED1A0B428DB}
_MASK = (1 << 64) - 1


def token_hash(token: bytes) -> int:
    """Return the 64-bit hash of step 2."""
    value = SEED
    for at in range(0, len(token), 8):
        value = (value ^ int.from_bytes(token[at : at + 8], "little")) * M1 & _MASK
        value ^= value >> 29
    return value


def token_slot(token: bytes) -> int:
    """Return the slot of a token by itself (step 3)."""
    return _slot(token_hash(token) * M2)


def _slot(value: int) -> int:
    return (value & _MASK) >> SHIFT


def _grams(word: bytes) -> Iterator[int]:
    framed = b" " + word + b" "
    for at in range(len(framed)):
        for n, factor in KN.items():
            if at + n <= len(framed):
                yield _slot(int.from_bytes(framed[at : at + n], "little") * factor)


def token_features(tokens: Sequence[Token]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (slot, indexes of the tokens it came from) of one window, repeats included."""
    before: list[tuple[int, int]] = []  # the last two tokens that pairs can begin with
    for index, token in enumerate(tokens):
        value = token_hash(token.text)
        yield _slot(value * M2), (index,)
        if token.kind == SIDE:
            continue
        for (at, first), factor in zip(reversed(before), (M3, M4), strict=False):
            yield _slot((first * factor & _MASK ^ value) * M2), (at, index)
        before = [*before[-1:], (index, value)]
        if token.kind == WORD:
            for slot in _grams(token.text):
                yield slot, (index,)


def windows(count: int) -> Iterator[tuple[int, int]]:
    """Yield the half-open token ranges that ``count`` tokens are scored in, at least one."""
    start = 0
    while start + WINDOW < count:
        yield start, start + WINDOW
        start += STRIDE
    yield start, count


def slots_of(tokens: Sequence[Token]) -> set[int]:
    """Return the distinct slots of one window."""
    return {slot for slot, _ in token_features(tokens)}


def logit(slots: set[int], weights: memoryview, scale: float, bias: float) -> float:
    """Return the logit of one window (step 4); no features give the bias."""
    if not slots:
        return bias
    total = sum(map(weights.__getitem__, slots))
    return scale * total / math.sqrt(len(slots)) + bias


def text_windows(text: str) -> list[list[Token]]:
    """Return the tokens of each window of ``text``."""
    tokens = fold(text)
    return [tokens[start:stop] for start, stop in windows(len(tokens))]
