"""Many texts at once without the kernel: NumPy over whole batches, scores bit-equal to it.

1. Space breaks every token (normalize.py), so what lies between spaces, a piece, is folded once
   and remembered: most pieces of a batch have been seen before.
2. Tokens are numbers into a vocabulary that knows their hashes and their n-gram slots.
3. Unigrams, pairs and n-grams of all windows become keys (window, slot); sorting leaves each once.
4. Sums of integer weights by window, then the best window of each text.

The few texts in which single letters may join across pieces go to the reference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hostrisk import _reference
from hostrisk.features import BITS, KN, M1, M2, M3, M4, SEED, SHIFT, SLOTS, WINDOW, windows
from hostrisk.normalize import MAX_TOKEN, SIDE, WORD, Token, scan

__all__ = ["score_list"]

_BATCH = 4_096
_MOST_PIECES = 400_000
# A word of plain letters with nothing around it that could matter to the scanner.
_PLAIN = re.compile(r"[\"(\[.,-]*([A-Za-z]{1,64})[\"().,;?!\]]*")
_STRETCHED = re.compile(r"([a-z])\1\1")

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


class _Vocabulary:
    """Tokens seen so far as numbers, with what each gives to the features of its window."""

    def __init__(self) -> None:
        self.pieces: dict[str, tuple[int, ...]] = {}
        self.numbers: dict[tuple[bytes, int], int] = {}
        self.hashes = np.zeros(0, dtype=np.uint64)
        self.kinds = np.zeros(0, dtype=np.int8)
        self.letters = np.zeros(0, dtype=bool)
        self.starts = np.zeros(1, dtype=np.int64)  # of each token's n-grams in slots
        self.slots = np.zeros(0, dtype=np.int64)

    def add(self, pieces: set[str]) -> None:
        """Learn the pieces not known yet."""
        if len(self.pieces) > _MOST_PIECES:
            self.__init__()  # type: ignore[misc]  # forgetting all is simpler than choosing
        known = len(self.numbers)
        for piece in pieces.difference(self.pieces):
            self.pieces[piece] = tuple(
                self.numbers.setdefault(token, len(self.numbers)) for token in _tokens(piece)
            )
        new = list(self.numbers)[known:] if len(self.numbers) > known else []
        if new:
            self._learn([text for text, _ in new], np.array([kind for _, kind in new], np.int8))

    def _learn(self, texts: list[bytes], kinds: NDArray[np.int8]) -> None:
        lengths = np.array([len(text) for text in texts])
        padded = np.frombuffer(b"".join(text.ljust(MAX_TOKEN, b"\0") for text in texts), np.uint8)
        table = padded.reshape(len(texts), MAX_TOKEN)
        counts, slots = _grams(table, np.where(kinds == WORD, lengths, 0))
        small = (table[:, 0] >= ord("a")) & (table[:, 0] <= ord("z"))
        self.hashes = np.concatenate([self.hashes, _hashes(table, lengths)])
        self.kinds = np.concatenate([self.kinds, kinds])
        self.letters = np.concatenate([self.letters, (kinds == WORD) & (lengths == 1) & small])
        self.starts = np.concatenate([self.starts, self.starts[-1] + np.cumsum(counts)])
        self.slots = np.concatenate([self.slots, slots])


def _tokens(piece: str) -> list[tuple[bytes, int]]:
    if plain := _PLAIN.fullmatch(piece):
        word = plain[1].lower()
        if not _STRETCHED.search(word):
            return [(word.encode(), WORD)]
    found: list[Token] = scan(piece)
    return [(token.text, token.kind) for token in found]


def _hashes(table: NDArray[np.uint8], lengths: Ints) -> Words:
    """Return the hash of step 2 of features.py for tokens padded with zeros."""
    value = np.full(len(table), SEED, dtype=np.uint64)
    for at, chunk in enumerate(table.view("<u8").T):
        mixed = (value ^ chunk) * np.uint64(M1)
        value = np.where(lengths > 8 * at, mixed ^ (mixed >> np.uint64(29)), value)
    return value


def _grams(table: NDArray[np.uint8], lengths: Ints) -> tuple[Ints, Ints]:
    """Return how many n-grams each token has, 0 where its length is given as 0, and their slots."""
    framed = np.zeros((len(table), MAX_TOKEN + 8), dtype=np.uint64)
    framed[:, 1 : MAX_TOKEN + 1] = table
    rows = np.arange(len(table))
    framed[:, 0] = framed[rows, lengths + 1] = ord(" ")
    found, valid = [], []
    places = np.arange(MAX_TOKEN + 2)
    for n, factor in KN.items():
        gram = np.zeros((len(table), MAX_TOKEN + 2), dtype=np.uint64)
        for at in range(n):
            gram |= framed[:, at : at + MAX_TOKEN + 2] << np.uint64(8 * at)
        found.append(_slot(gram * np.uint64(factor)))
        valid.append((places + n <= (lengths + 2)[:, None]) & (lengths > 0)[:, None])
    mask = np.stack(valid, axis=2)
    return mask.sum(axis=(1, 2)), np.stack(found, axis=2)[mask]


def _slot(value: Words) -> Ints:
    return (value >> np.uint64(SHIFT)).astype(np.int64)


_vocabulary = _Vocabulary()


def score_list(
    texts: Sequence[str | None], weights: memoryview, scale: float, bias: float
) -> list[float | None]:
    """Return the probabilities of texts, None for None."""
    table = np.frombuffer(weights, dtype=np.int8)
    scores: list[float | None] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        logits, unsure = _logits(batch, table, scale, bias)
        for text, logit, reread in zip(batch, logits.tolist(), unsure.tolist(), strict=True):
            if text is None:
                scores.append(None)
            elif reread:
                scores.append(_reference.score_one(text, weights, scale, bias))
            else:
                scores.append(_reference.probability(logit))
    return scores


def _logits(
    texts: Sequence[str | None], weights: NDArray[np.int8], scale: float, bias: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the logit of each text, and which texts the reference must score."""
    split = [[] if text is None else text.split() for text in texts]
    _vocabulary.add(set(chain.from_iterable(split)))
    pieces = _vocabulary.pieces
    tokens = [tuple(chain.from_iterable(map(pieces.__getitem__, parts))) for parts in split]
    counts = np.fromiter(map(len, tokens), np.int64, len(tokens))
    numbers = np.fromiter(chain.from_iterable(tokens), np.int64, int(counts.sum()))
    unsure = _may_join(numbers, counts)
    numbers, counts, text_of = _cut(numbers, counts)
    keys = _keys(numbers, np.repeat(np.arange(len(counts)), counts))
    slots, rows = keys & (SLOTS - 1), keys >> BITS
    sums = np.bincount(rows, weights=weights[slots], minlength=len(counts))
    sizes = np.bincount(rows, minlength=len(counts))
    logits = np.where(sizes > 0, scale * sums / np.sqrt(np.maximum(sizes, 1)) + bias, bias)
    firsts = np.flatnonzero(np.diff(text_of, prepend=-1))
    return np.maximum.reduceat(logits, firsts) if len(logits) else logits, unsure


def _may_join(numbers: Ints, counts: Ints) -> NDArray[np.bool_]:
    """Tell which texts hold three one-letter tokens in a row."""
    letters = _vocabulary.letters[numbers]
    text_of = np.repeat(np.arange(len(counts)), counts)
    found = np.zeros(len(counts), dtype=bool)
    run = letters[2:] & letters[1:-1] & letters[:-2] & (text_of[2:] == text_of[:-2])
    found[text_of[2:][run]] = True
    return found


def _cut(numbers: Ints, counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Repeat tokens by window: numbers, tokens of each window, and the text of each window."""
    if counts.max(initial=0) <= WINDOW:
        return numbers, counts, np.arange(len(counts))
    offsets = np.cumsum(counts) - counts
    spans = [
        (text, offset + start, offset + stop)
        for text, (offset, count) in enumerate(zip(offsets.tolist(), counts.tolist(), strict=True))
        for start, stop in windows(count)
    ]
    text_of, starts, stops = np.array(spans, dtype=np.int64).T
    sizes = stops - starts
    return numbers[_ranges(starts, sizes)], sizes, text_of


def _ranges(starts: Ints, sizes: Ints) -> Ints:
    """Return the whole numbers of ranges of these starts and sizes, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(int(sizes.sum())) + np.repeat(starts - ends + sizes, sizes)


def _keys(numbers: Ints, rows: Ints) -> Ints:
    """Return the distinct (window << BITS | slot) of tokens."""
    hashes, kinds = _vocabulary.hashes[numbers], _vocabulary.kinds[numbers]
    parts = [rows << BITS | _slot(hashes * np.uint64(M2))]
    paired = kinds != SIDE
    firsts, places = hashes[paired], rows[paired]
    for distance, factor in ((1, M3), (2, M4)):
        mixed = (firsts[:-distance] * np.uint64(factor) ^ firsts[distance:]) * np.uint64(M2)
        same = places[:-distance] == places[distance:]
        parts.append((places[distance:] << BITS | _slot(mixed))[same])
    starts = _vocabulary.starts[numbers]
    sizes = _vocabulary.starts[numbers + 1] - starts
    grams = _vocabulary.slots[_ranges(starts, sizes)]
    parts.append(np.repeat(rows, sizes) << BITS | grams)
    keys = np.sort(np.concatenate(parts))
    return keys[np.diff(keys, prepend=-1) != 0]


