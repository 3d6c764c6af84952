"""Many texts at once without the kernel: NumPy over whole batches, scores bit-equal to it.

1. Space breaks every token (normalize.py), so what lies between spaces, a piece, is folded once
   and remembered: most pieces of a batch have been seen before. A text in which single letters
   may join across pieces is folded whole.
2. Tokens are numbers into a vocabulary that knows their hashes and their slots.
3. Slots of tokens and of pairs become keys (window, slot); sorting leaves each once.
4. Sums of integer weights by window, then the best window of each text.
"""

from __future__ import annotations

import re
from itertools import chain, islice
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hostrisk._reference import probability
from hostrisk.features import BITS, KN, M1, M2, M3, M4, SEED, SHIFT, SLOTS, WINDOW, windows
from hostrisk.normalize import MARK, SIDE, WORD, Token, fold, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["score_list"]

_BATCH = 4_096  # texts
_MOST_CHARACTERS = 1 << 23  # of a batch, and of the pieces remembered
_MOST_WINDOWS = 1 << 32 - BITS  # so that a key has 32 bits

# Signs that the scanner drops, and separators, as ASCII.
_ASCII = str.maketrans(dict.fromkeys("'`\u2019") | dict.fromkeys("“”…\u2013—", "."))
# What the scanner must read; the rest is runs of letters and runs of digits.
_HARD = re.compile(
    r"[^!-~]|([a-z])\1\1|[a-z]\d|\d[a-z]|[a-z][@$!*]{1,2}[a-z]|\$[a-z]|\w{65}|://",
    re.ASCII | re.IGNORECASE,
)
_RUNS = re.compile(r"[a-z]+|\d+|[@#](?=[a-z])")
_HASHTAG = re.compile(r"#[A-Za-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

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


class _Vocabulary(dict[str, int]):
    """Pieces and tokens seen so far as numbers, and what tokens give to their windows."""

    def __init__(self) -> None:
        self.lock = Lock()  # for learning; what is known never changes
        self.characters = 0
        self.sizes: list[int] = []  # tokens of each piece not learned yet
        self.found: list[str] = []  # these tokens, as keys
        self.tokens = _Ragged(np.int64)  # of each piece
        self.numbers: dict[str, int] = {}  # of the keys of tokens
        self.hashes = np.zeros(0, dtype=np.uint64)
        self.side = self.letter = np.zeros(0, dtype=bool)
        self.slots = _Ragged(np.uint32)  # of each token: its own and its n-grams'

    def __missing__(self, piece: str) -> int:
        self.characters += len(piece)
        keys = _token_keys(piece)
        self.sizes.append(len(keys))
        self.found += keys
        self[piece] = number = len(self)
        return number

    def learn(self) -> None:
        """Give numbers to the tokens of new pieces."""
        known = len(self.numbers)
        flat = [self.numbers.setdefault(key, len(self.numbers)) for key in self.found]
        self.tokens.extend(np.array(self.sizes, np.int64), np.array(flat, np.int64))
        self.sizes, self.found = [], []
        if new := list(islice(self.numbers, known, None)):
            kinds = [int(key[0]) if "0" <= key[0] <= "9" else WORD for key in new]
            texts = [key[kind > 0 :].encode() for key, kind in zip(new, kinds, strict=True)]
            self._learn_tokens(texts, np.array(kinds))

    def _learn_tokens(self, texts: Sequence[bytes], kinds: Ints) -> None:
        lengths = np.array([*map(len, texts)])
        padded = np.frombuffer(b"".join(b" %b " % text + bytes(8) for text in texts), np.uint8)
        starts = np.cumsum(lengths + 10) - lengths - 10
        hashes = _hashes(padded, starts + 1, lengths)
        small = (padded[starts + 1] >= ord("a")) & (padded[starts + 1] <= ord("z"))
        self.hashes = np.concatenate([self.hashes, hashes])
        self.side = np.concatenate([self.side, kinds == SIDE])
        self.letter = np.concatenate([self.letter, (kinds == WORD) & (lengths == 1) & small])
        self.slots.extend(*_slots(padded, starts, np.where(kinds == WORD, lengths, 0), hashes))


def _token_keys(piece: str) -> list[str]:
    """Return the keys of the tokens of a piece, or of a text that begins with a space.

    A key is a token's text, with its kind as a digit before it where that is not a word.
    """
    if piece[0] == " ":
        return _keys_of(fold(piece))
    if piece.startswith(("http://", "https://")):
        return [f"{MARK}://"]
    plain = piece.translate(_ASCII)
    if _HARD.search(plain):
        return _keys_of(scan(piece))
    if "#" in plain:
        plain = _HASHTAG.sub(lambda tag: _CAMEL.sub(".", tag[0]), plain)
    return [
        run if run.isalpha() else f"{MARK}0" if run.isdigit() else f"{MARK}{run}"
        for run in _RUNS.findall(plain.lower())
    ]


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
    numbers, counts = _read(vocabulary, pieces)
    joining = np.flatnonzero(_may_join(vocabulary, numbers, counts))
    if len(joining):
        whole, sizes = _read(vocabulary, [[f" {texts[text]}"] for text in joining.tolist()])
        starts = np.cumsum(counts) - counts
        starts[joining] = len(numbers) + np.cumsum(sizes) - sizes
        counts[joining] = sizes
        numbers = np.concatenate([numbers, whole])[_ranges(starts, counts)]
    numbers, counts, text_of = _cut(numbers, counts)
    logits = []
    ends = np.cumsum(counts)
    for first in range(0, len(counts), _MOST_WINDOWS):
        some = counts[first : first + _MOST_WINDOWS]
        stop = ends[first + len(some) - 1]
        keys = _keys(vocabulary, numbers[stop - some.sum() : stop], some)
        logits.append(_window_logits(keys, len(some), weights, scale, bias))
    return np.maximum.reduceat(np.concatenate(logits), np.flatnonzero(np.diff(text_of, prepend=-1)))


def _read(vocabulary: _Vocabulary, pieces: list[list[str]]) -> tuple[Ints, Ints]:
    """Return the tokens of texts as numbers, and how many each text has."""
    lengths = np.array([*map(len, pieces)])
    with vocabulary.lock:
        known = map(vocabulary.__getitem__, chain.from_iterable(pieces))
        rows = np.fromiter(known, np.int64, int(lengths.sum()))
        vocabulary.learn()
    numbers, sizes = vocabulary.tokens.take(rows)
    ends = np.concatenate([[0], np.cumsum(sizes)])[np.cumsum(lengths)]
    return numbers, np.diff(ends, prepend=0)


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
    first: NDArray[np.bool_] = np.diff(keys, prepend=~keys[:1]) != 0
    return keys[first]


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
