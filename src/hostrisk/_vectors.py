"""Many texts at once without the kernel: NumPy over whole batches, scores bit-equal to it.

1. Space breaks every token (normalize.py), so what lies between spaces, a piece, is folded once
   and remembered: most pieces of a batch have been seen before. Single letters are joined
   afterwards, in the few texts that have three in a row.
2. Tokens are numbers into a vocabulary that knows their hashes and their slots.
3. Slots of tokens and of pairs become keys (window, slot); sorting leaves each once.
4. Sums of integer weights by window, then the best window of each text.
"""

from __future__ import annotations

import re
from itertools import chain, groupby
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hostrisk._reference import probability
from hostrisk.features import BITS, KN, M1, M2, M3, M4, SEED, SHIFT, SLOTS, STRIDE, WINDOW
from hostrisk.normalize import MARK, SIDE, WORD, Token, _join, scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["score_list"]

_BATCH = 4_096  # texts
_MOST_CHARACTERS = 1 << 23  # of a batch, and of the pieces remembered
_FEWEST_LETTERS = 3  # in a row that are one token
_MOST_WINDOWS = 512  # at once: small arrays stay in the cache; 4,096 fill a key of 32 bits

# Signs that the scanner drops, and separators, as ASCII.
_ASCII = {**dict.fromkeys("'`\u2019", ""), **dict.fromkeys("“”…\u2013—", ".")}
# What the scanner must read; other pieces are runs of letters and runs of digits.
_HARD = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"[^\n!-~]+", r"([a-z])\1\1", r"[a-z]\d", r"\d[a-z]", r"[a-z][@$!*]{1,2}[a-z]", r"\$[a-z]",
        r"\w{65}", r"://",
    )
]  # fmt: skip
_HASHTAG = re.compile(r"#[A-Za-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RUNS = re.compile(r"[a-z]+|\d+|[@#](?=[a-z])|\t[^\t\n]+|\n")  # and keys behind a tab

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Slots = NDArray[np.uint32]


class _Ragged:
    """Rows of numbers of different lengths."""

    def __init__(self, dtype: type[np.integer[Any]]) -> None:
        self.starts = np.zeros(1, dtype=np.int64)
        self.values: NDArray[Any] = np.zeros(0, dtype=dtype)

    def extend(self, sizes: Ints, values: NDArray[Any]) -> None:
        """Add rows of these sizes."""
        self.starts = np.concatenate([self.starts, self.starts[-1] + np.cumsum(sizes)])
        self.values = np.concatenate([self.values, values])

    def take(self, rows: Ints) -> tuple[NDArray[Any], Ints]:
        """Return the values of these rows, one after the other, and the sizes of the rows."""
        starts = self.starts[rows]
        sizes = self.starts[rows + 1] - starts
        return self.values[_ranges(starts, sizes)], sizes


class _Numbers(dict[str, int]):
    """Strings as numbers, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.new: list[str] = []

    def __missing__(self, key: str) -> int:
        self.new.append(key)
        self[key] = number = len(self)
        return number

    def take(self, keys: Iterable[str], count: int) -> Ints:
        """Return the numbers of so many strings."""
        return np.fromiter(map(self.__getitem__, keys), np.int64, count)

    def take_new(self) -> list[str]:
        """Return the strings numbered since the last call."""
        new, self.new = self.new, []
        return new


class _Vocabulary:
    """Pieces and tokens seen so far as numbers, and what tokens give to their windows."""

    def __init__(self) -> None:
        self.lock = Lock()  # for learning; what is known never changes
        self.characters = 0
        self.pieces = _Numbers()
        self.tokens = _Ragged(np.int64)  # of each piece
        self.keys = _Numbers()  # of tokens
        self.hashes = np.zeros(0, dtype=np.uint64)
        self.side = self.letter = np.zeros(0, dtype=bool)
        self.slots = _Ragged(np.uint32)  # of each token: its own and its n-grams'

    def read(self, pieces: list[list[str]]) -> tuple[Ints, Ints]:
        """Return the tokens of texts, given as pieces, and how many each text has."""
        lengths = np.array([*map(len, pieces)])
        with self.lock:
            rows = self.pieces.take(chain.from_iterable(pieces), int(lengths.sum()))
            if new := self.pieces.take_new():
                self.characters += sum(map(len, new))
                keys, sizes = _split(new)
                self.tokens.extend(sizes, self._number(keys))
        numbers, sizes = self.tokens.take(rows)
        ends = np.concatenate([[0], np.cumsum(sizes)])[np.cumsum(lengths)]
        return numbers, np.diff(ends, prepend=0)

    def join(self, texts: list[Ints]) -> tuple[Ints, Ints]:
        """Return the same of texts, given as tokens, with their single letters joined."""
        known = list(self.keys)
        keys = [_join_letters([known[number] for number in text.tolist()]) for text in texts]
        with self.lock:
            numbers = self._number([*chain.from_iterable(keys)])
        return numbers, np.array([*map(len, keys)])

    def _number(self, keys: list[str]) -> Ints:
        numbers = self.keys.take(keys, len(keys))
        if new := self.keys.take_new():
            kinds = [int(key[0]) if "0" <= key[0] <= "9" else WORD for key in new]
            texts = [key[kind > 0 :].encode() for key, kind in zip(new, kinds, strict=True)]
            self._learn(texts, np.array(kinds))
        return numbers

    def _learn(self, texts: list[bytes], kinds: Ints) -> None:
        lengths = np.array([*map(len, texts)])
        padded = np.frombuffer(b" " + (b" %b " % bytes(8)).join(texts) + b" " + bytes(8), np.uint8)
        starts = np.cumsum(lengths + 10) - lengths - 10
        hashes = _hashes(padded, starts + 1, lengths)
        small = (padded[starts + 1] >= ord("a")) & (padded[starts + 1] <= ord("z"))
        self.hashes = np.concatenate([self.hashes, hashes])
        self.side = np.concatenate([self.side, kinds == SIDE])
        self.letter = np.concatenate([self.letter, (kinds == WORD) & (lengths == 1) & small])
        self.slots.extend(*_slots(padded, starts, np.where(kinds == WORD, lengths, 0), hashes))


def _split(pieces: list[str]) -> tuple[list[str], Ints]:
    """Return the keys of the tokens of pieces, and how many each piece has.

    A key is a token's text, with its kind as a digit before it where that is not a word.
    """
    plain = "\n".join(pieces)
    for sign, stands_for in _ASCII.items():
        plain = plain.replace(sign, stands_for)
    plain = _HASHTAG.sub(lambda tag: _CAMEL.sub(".", tag[0]), plain).lower()
    lines = plain.split("\n")
    ends = np.cumsum([len(line) + 1 for line in lines])
    places = [hit.start() for pattern in _HARD for hit in pattern.finditer(plain)]
    hard = np.searchsorted(ends, np.array(places, np.int64), side="right")
    for row in np.unique(hard).tolist():
        lines[row] = "".join(f"\t{key}" for key in _hard_keys(pieces[row]))
    runs = _RUNS.findall("\n".join(lines) + "\n")
    stops = [at for at, run in enumerate(runs) if run == "\n"]
    keys = [run if run.isalpha() else _key(run) for run in runs if run != "\n"]
    return keys, np.diff(stops, prepend=-1) - 1


def _key(run: str) -> str:
    if run[0] == "\t":
        return run[1:]
    return f"{MARK}0" if run.isdigit() else f"{MARK}{run}"


def _hard_keys(piece: str) -> list[str]:
    if piece.startswith(("http://", "https://")):
        return [f"{MARK}://"]
    return _keys_of(scan(piece))


def _join_letters(keys: list[str]) -> list[str]:
    """Do what fold() does after scan()."""
    joined = []
    for letters, run in groupby(keys, lambda key: len(key) == 1 and "a" <= key <= "z"):
        part = [*run]
        if letters and len(part) >= _FEWEST_LETTERS:
            part = _keys_of(_join([Token(key.encode(), WORD, 0, 0) for key in part]))
        joined += part
    return joined


def _keys_of(tokens: list[Token]) -> list[str]:
    return [f"{token.kind or ''}{token.text.decode()}" for token in tokens]


def _bytes(padded: NDArray[np.uint8], starts: Ints, count: int) -> Words:
    """Return ``count`` bytes from each start as little-endian numbers."""
    value = np.zeros(len(starts), dtype=np.uint64)
    for at in range(count):
        value |= padded[starts + at].astype(np.uint64) << np.uint64(8 * at)
    return value


def _hashes(padded: NDArray[np.uint8], starts: Ints, lengths: Ints) -> Words:
    """Return the hashes of step 2 of features.py."""
    value = np.full(len(starts), SEED, dtype=np.uint64)
    for at in range(0, int(lengths.max()), 8):
        (rows,) = np.nonzero(lengths > at)
        chunk = _bytes(padded, starts[rows] + at, 8)
        beyond = np.maximum(at + 8 - lengths[rows], 0).astype(np.uint64) * np.uint64(8)
        chunk &= np.uint64(2**64 - 1) >> beyond
        mixed = (value[rows] ^ chunk) * np.uint64(M1)
        value[rows] = mixed ^ (mixed >> np.uint64(29))
    return value


def _slots(
    padded: NDArray[np.uint8], starts: Ints, lengths: Ints, hashes: Words
) -> tuple[Ints, Slots]:
    """Return how many slots each token has, and the slots; n-grams where it has a length."""
    rows, slots = [np.arange(len(starts))], [_slot(hashes * np.uint64(M2))]
    for n, factor in KN.items():
        sizes = np.where(lengths > 0, np.maximum(lengths + 3 - n, 0), 0)
        grams = _bytes(padded, _ranges(starts, sizes), n)
        rows.append(np.repeat(rows[0], sizes))
        slots.append(_slot(grams * np.uint64(factor)))
    row_of = np.concatenate(rows)
    return np.bincount(row_of), np.concatenate(slots)[np.argsort(row_of, kind="stable")]


def _slot(value: Words) -> Slots:
    return (value >> np.uint64(SHIFT)).astype(np.uint32)


def _ranges(starts: Ints, sizes: Ints) -> Ints:
    """Return the whole numbers of ranges of these starts and sizes, one after the other."""
    ends = np.cumsum(sizes)
    return np.arange(int(sizes.sum())) + np.repeat(starts - ends + sizes, sizes)


_vocabulary = _Vocabulary()


def score_list(
    texts: Sequence[str | None], weights: memoryview, scale: float, bias: float
) -> list[float | None]:
    """Return the probabilities of texts, None for None."""
    global _vocabulary  # noqa: PLW0603
    table = np.frombuffer(weights, dtype=np.int8)
    scores: list[float | None] = []
    try:
        for batch in _batches(texts):
            if _vocabulary.characters > _MOST_CHARACTERS:
                _vocabulary = _Vocabulary()  # forgetting all is simpler than choosing
            logits = _logits(_vocabulary, batch, table, scale, bias).tolist()
            scores += [
                None if text is None else probability(logit)
                for text, logit in zip(batch, logits, strict=True)
            ]
    except BaseException:
        _vocabulary = _Vocabulary()  # the old one may have been left half taught
        raise
    return scores


def _batches(texts: Sequence[str | None]) -> Iterator[list[str | None]]:
    batch: list[str | None] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text or "")
        if len(batch) == _BATCH or characters > _MOST_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _logits(
    vocabulary: _Vocabulary,
    texts: list[str | None],
    weights: NDArray[np.int8],
    scale: float,
    bias: float,
) -> NDArray[np.float64]:
    """Return the logit of each text, that of an empty one for None."""
    pieces = [(text or "").split() for text in texts]
    numbers, counts = vocabulary.read(pieces)
    joining = np.flatnonzero(_may_join(vocabulary, numbers, counts))
    if len(joining):
        starts = np.cumsum(counts) - counts
        apart = [numbers[starts[text] :][: counts[text]] for text in joining]
        joined, sizes = vocabulary.join(apart)
        starts[joining] = len(numbers) + np.cumsum(sizes) - sizes
        counts[joining] = sizes
        numbers = np.concatenate([numbers, joined])[_ranges(starts, counts)]
    numbers, counts, text_of = _cut(numbers, counts)
    logits = []
    ends = np.cumsum(counts)
    for first in range(0, len(counts), _MOST_WINDOWS):
        some = counts[first : first + _MOST_WINDOWS]
        stop = ends[first + len(some) - 1]
        keys = _keys(vocabulary, numbers[stop - some.sum() : stop], some)
        logits.append(_window_logits(keys, len(some), weights, scale, bias))
    return np.maximum.reduceat(np.concatenate(logits), np.flatnonzero(np.diff(text_of, prepend=-1)))


def _may_join(vocabulary: _Vocabulary, numbers: Ints, counts: Ints) -> NDArray[np.bool_]:
    """Tell which texts hold three one-letter tokens in a row."""
    letters = vocabulary.letter[numbers]
    text_of = np.repeat(np.arange(len(counts)), counts)
    found = np.zeros(len(counts), dtype=bool)
    run = letters[2:] & letters[1:-1] & letters[:-2] & (text_of[2:] == text_of[:-2])
    found[text_of[2:][run]] = True
    return found


def _cut(numbers: Ints, counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Repeat tokens by window: numbers, tokens of each window, and the text of each window."""
    windows = np.maximum(-((WINDOW - counts) // STRIDE), 0) + 1
    text_of = np.repeat(np.arange(len(counts)), windows)
    stops = np.cumsum(counts)
    starts = STRIDE * _ranges(np.zeros(len(counts), np.int64), windows) + (stops - counts)[text_of]
    sizes = np.minimum(stops[text_of] - starts, WINDOW)
    return numbers[_ranges(starts, sizes)], sizes, text_of


def _keys(vocabulary: _Vocabulary, numbers: Ints, counts: Ints) -> Slots:
    """Return the distinct (window << BITS | slot) of tokens, sorted."""
    row_of = np.repeat(np.arange(len(counts), dtype=np.uint32) << np.uint32(BITS), counts)
    slots, sizes = vocabulary.slots.take(numbers)
    parts = [np.repeat(row_of, sizes) | slots]
    paired = ~vocabulary.side[numbers]
    hashes, row_of = vocabulary.hashes[numbers[paired]], row_of[paired]
    for distance, factor in ((1, M3), (2, M4)):
        mixed = (hashes[:-distance] * np.uint64(factor) ^ hashes[distance:]) * np.uint64(M2)
        same = row_of[:-distance] == row_of[distance:]
        parts.append((row_of[distance:] | _slot(mixed))[same])
    keys: Slots = np.sort(np.concatenate(parts))
    fresh = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh]


def _window_logits(
    keys: Slots, count: int, weights: NDArray[np.int8], scale: float, bias: float
) -> NDArray[np.float64]:
    """Return the logit of each of ``count`` windows (step 4 of features.py)."""
    lasts = np.arange(count, dtype=np.uint32) << np.uint32(BITS) | np.uint32(SLOTS - 1)
    ends = np.searchsorted(keys, lasts, side="right")
    sums = np.concatenate([[0], np.cumsum(weights[keys & np.uint32(SLOTS - 1)], dtype=np.int64)])
    sizes = np.diff(ends, prepend=0)
    totals = np.diff(sums[ends], prepend=0)
    return np.where(sizes > 0, scale * totals / np.sqrt(np.maximum(sizes, 1)) + bias, bias)
