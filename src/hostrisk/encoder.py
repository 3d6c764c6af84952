"""The accurate scorer: a small transformer beside the n-grams, run by ONNX Runtime.

A text is cleaned (:mod:`hostrisk.cleaning`), cut into word pieces, and read in windows of 128
pieces, a new one every 96; the window with the highest logit speaks for it. Its logit and that of
the fast model are weighed into one: they see different things. Each window is run alone, so that no
score depends on what else is scored with it.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk._reference import probability
from hostrisk.cleaning import Piece, clean, clean_pieces
from hostrisk.errors import MissingExtraError, ModelError
from hostrisk.linear import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hostrisk.linear import LinearScorer

__all__ = ["CascadeScorer", "EncoderScorer", "Graph", "Mix"]

_START, _END = "[CLS]", "[SEP]"
_FARTHEST = 30.0  # of a logit from a probability that has run into 0 or 1
_CHUNK = 64


class Mix(NamedTuple):
    """How two logits become one: ``encoder * e + fast * f + bias``."""

    encoder: float
    fast: float
    bias: float


class Graph:
    """An encoder and its word pieces: text to logits.

    :raises MissingExtraError: onnxruntime or tokenizers is not installed.
    :raises ModelError: the graph or the word pieces cannot be used.
    """

    def __init__(
        self, graph: bytes, pieces: bytes, *, window: int, stride: int, columns: int
    ) -> None:
        try:
            import numpy as np
            import onnxruntime
            import tokenizers
        except ImportError as error:
            raise MissingExtraError(
                "The encoder", package=error.name or "onnxruntime", extra="accurate"
            ) from error
        self._array: Any = np.array
        self._int32 = np.int32
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = tokenizers.Tokenizer.from_str(pieces.decode())
            self._ends = [self._tokenizer.token_to_id(name) for name in (_START, _END)]
            highest = max(self._tokenizer.get_vocab().values())
            found = self._run([highest])
        except Exception as error:  # each library raises what it likes
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"the encoder cannot be built: {reason}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._window, self._stride = window - 2, stride
        if len(found) != columns or not all(map(math.isfinite, found)):
            raise ModelError(f"the encoder gives {len(found)} numbers a text, not {columns}")

    @cached_property
    def words(self) -> frozenset[str]:
        """Whole words that have a piece of their own."""
        return frozenset(word for word in self._tokenizer.get_vocab() if not word.startswith("##"))

    def _run(self, ids: Sequence[int]) -> list[float]:
        start, end = self._ends
        row = self._array([[start, *ids, end]], dtype=self._int32)
        logits: list[float] = self._session.run(None, {"ids": row})[0][0].tolist()
        return logits

    def logits(self, text: str) -> list[float]:
        """Return the logits of a text: those of its window whose first one is highest."""
        ids = self._tokenizer.encode(clean(text, self.words), add_special_tokens=False).ids
        return max(map(self._run, self._windows(ids)), key=lambda found: found[0])

    def _windows(self, ids: Sequence[int]) -> Iterator[Sequence[int]]:
        start = 0
        while start + self._window < len(ids):
            yield ids[start : start + self._window]
            start += self._stride
        yield ids[start:]

    def best_window(self, text: str) -> tuple[int, int]:
        """Return the stretch of a text, in code points, whose window has the highest logit."""
        pieces = list(clean_pieces(text, self.words))
        joined = "".join(piece.text for piece in pieces)
        encoding = self._tokenizer.encode(joined, add_special_tokens=False)
        windows = list(self._windows(range(len(encoding.ids))))
        if len(windows) == 1:
            return 0, len(text)
        logits = [self._run([encoding.ids[at] for at in window])[0] for window in windows]
        best = windows[logits.index(max(logits))]
        first, last = encoding.offsets[best[0]][0], encoding.offsets[best[-1]][1] - 1
        return _place(pieces, first).start, _place(pieces, last).end


def _place(pieces: Sequence[Piece], at: int) -> Piece:
    """Return the piece that holds a character of the clean text."""
    for piece in pieces:
        at -= len(piece.text)
        if at < 0:
            return piece
    return pieces[-1]


def _logit(value: float) -> float:
    if not 0 < value < 1:
        return math.copysign(_FARTHEST, value - 0.5)
    return math.log(value / (1 - value))


class EncoderScorer(NamedTuple):
    """Encoder and n-grams together."""

    graph: Graph
    fast: LinearScorer
    mix: Mix

    def logit(self, text: str, fast: float | None = None) -> float:
        """Return the logit of a text.

        :param fast: its probability by the fast model, where that is known already.
        """
        if fast is None:
            fast = self.fast.score_one(text)
        found = self.mix.encoder * self.graph.logits(text)[0]
        return found + self.mix.fast * _logit(fast) + self.mix.bias

    def score_one(self, text: str) -> float:
        """Return the probability of one text."""
        return probability(self.logit(text))

    def score_list(self, texts: Sequence[str | None], *, threads: int = 1) -> list[float | None]:
        """Return the probabilities of texts, None for None."""
        fast = self.fast.score_list(texts, threads=threads)
        return self.refine(texts, fast, [at for at, x in enumerate(fast) if x is not None], threads)

    def refine(
        self,
        texts: Sequence[str | None],
        fast: list[float | None],
        chosen: Sequence[int],
        threads: int,
    ) -> list[float | None]:
        """Return probabilities: those of the encoder for the texts chosen, else the fast ones."""

        def work(places: Sequence[int]) -> list[float]:
            return [probability(self.logit(texts[at] or "", fast[at])) for at in places]

        chunks = [chosen[start : start + _CHUNK] for start in range(0, len(chosen), _CHUNK)]
        parts = in_threads(work, chunks, threads) if threads > 1 else map(work, chunks)
        found = list(fast)
        for at, value in zip(chosen, (x for part in parts for x in part), strict=True):
            found[at] = value
        return found

    def head_sums(self, text: str) -> tuple[int, list[float]]:
        """Return 1 and the logits of the heads of the best window."""
        return 1, self.graph.logits(text)[1:]


class CascadeScorer:
    """The fast model for all texts, the encoder too where the fast one is not sure.

    ``rows`` and ``encoded`` count the texts scored so far, and those of them that it read.
    """

    def __init__(self, accurate: EncoderScorer, low: float, high: float) -> None:
        self.accurate = accurate
        self.fast = accurate.fast
        self.low, self.high = low, high
        self.rows = self.encoded = 0

    def is_unsure(self, fast: float | None) -> bool:
        """Say whether a probability of the fast model lies in the band that the encoder reads."""
        return fast is not None and self.low <= fast <= self.high

    def score_one(self, text: str) -> float:
        """Return the probability of one text."""
        fast = self.fast.score_one(text)
        unsure = self.is_unsure(fast)
        self._count(1, int(unsure))
        return probability(self.accurate.logit(text, fast)) if unsure else fast

    def score_list(self, texts: Sequence[str | None], *, threads: int = 1) -> list[float | None]:
        """Return the probabilities of texts, None for None."""
        fast = self.fast.score_list(texts, threads=threads)
        unsure = [at for at, value in enumerate(fast) if self.is_unsure(value)]
        self._count(len(fast), len(unsure))
        return self.accurate.refine(texts, fast, unsure, threads)

    def _count(self, rows: int, encoded: int) -> None:
        self.rows += rows
        self.encoded += encoded

    def head_sums(self, text: str) -> tuple[int, list[float]]:
        """Return 1 and the logits of the heads of the best window."""
        return self.accurate.head_sums(text)
