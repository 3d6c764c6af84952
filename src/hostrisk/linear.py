"""The fast scorer: integer weights over hashed n-grams, compiled where possible.

Three engines give bit-equal scores: the C kernel; without it NumPy for many texts at once
(``_vectors``); and plain Python (``_reference``) for the rest. ``HOSTRISK_KERNEL=python`` or ``c``
forces one.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hostrisk.errors import HostriskError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

__all__ = ["LinearScorer", "Scorer", "features", "in_threads", "kernel_name", "word_counts"]

_FEW = 64  # so many texts are scored before NumPy has been imported
_LEAST_CHUNK = 256


def _choose_kernel() -> ModuleType | None:
    wanted = os.environ.get("HOSTRISK_KERNEL", "")
    if wanted not in ("", "c", "python"):
        raise HostriskError(f"HOSTRISK_KERNEL is {wanted!r}; it must be 'c' or 'python'")
    if wanted == "python":
        return None
    try:
        return importlib.import_module("hostrisk._kernel")
    except ImportError as error:
        if wanted == "c":
            raise HostriskError(
                "HOSTRISK_KERNEL is 'c', but the compiled kernel is not installed; install a C "
                "compiler and hostrisk again, or unset it"
            ) from error
        warnings.warn(
            "hostrisk runs without its compiled kernel: the same scores, ten times slower; "
            "install a C compiler and hostrisk again to have it",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


_kernel = _choose_kernel()


def takes_arrow() -> bool:
    """Say whether Arrow arrays can be scored where they lie, which takes the kernel."""
    return _kernel is not None


def kernel_name() -> str:
    """Return which engine scores: ``c`` or ``python``."""
    return "python" if _kernel is None else "c"


def _engine() -> Any:
    if _kernel is not None:
        return _kernel
    from hostrisk import _reference

    return _reference


def features(texts: Sequence[str | None]) -> tuple[bytes, bytes]:
    """Return the distinct feature slots of texts as the parts of a CSR matrix.

    Row pointers are int64 of shape (texts + 1,), slots uint32, sorted within a row; a null text
    has none. A text of several windows has the slots of all of them.
    """
    found: tuple[bytes, bytes] = _engine().features(texts)
    return found


def word_counts(texts: Sequence[str | None], vocabulary: memoryview) -> bytes:
    """Return int32 pairs: the words of each text, and how many of them a vocabulary lacks.

    :param vocabulary: a bit for each slot, set for those of known words.
    """
    found: bytes = _engine().word_counts(texts, vocabulary)
    return found


class Scorer(Protocol):
    """What a classifier scores with, be it fast or accurate."""

    def score_one(self, text: str) -> float:
        """Return the probability of one text."""

    def score_list(self, texts: Sequence[str | None], *, threads: int = 1) -> list[float | None]:
        """Return the probabilities of texts, None for None."""

    def head_sums(self, text: str) -> tuple[int, Sequence[float]]:
        """Return the number of slots of the best window, and each head's sum over them."""


class LinearScorer(NamedTuple):
    """Weights, and how their sum becomes a logit: ``scale * sum / sqrt(slots) + bias``.

    ``heads`` is a table of int8, ``columns`` a row, over slots folded to as many rows as it has.
    """

    weights: memoryview
    scale: float
    bias: float
    heads: memoryview
    columns: int

    def score_one(self, text: str) -> float:
        """Return the probability of one text."""
        found: float = _engine().score_one(text, self.weights, self.scale, self.bias)
        return found

    def score_list(self, texts: Sequence[str | None], *, threads: int = 1) -> list[float | None]:
        """Return the probabilities of texts, None for None."""
        if _kernel is None and len(texts) > _FEW and (vectors := _vectors()):
            score: Callable[..., list[float | None]] = vectors.score_list
        else:
            score = _engine().score_list
        if threads == 1 or len(texts) < 2 * _LEAST_CHUNK:
            return score(texts, self.weights, self.scale, self.bias)
        size = max(_LEAST_CHUNK, -(-len(texts) // (4 * threads)))
        chunks = [texts[start : start + size] for start in range(0, len(texts), size)]
        scores = in_threads(
            lambda chunk: score(chunk, self.weights, self.scale, self.bias), chunks, threads
        )
        return [value for part in scores for value in part]

    def score_arrow(self, array: Any) -> bytes:
        """Return float64 probabilities of an Arrow string array, by the kernel alone.

        See :func:`takes_arrow`.
        """
        schema, data = array.__arrow_c_array__()
        scores: bytes = _engine().score_arrow(schema, data, self.weights, self.scale, self.bias)
        return scores

    def head_sums(self, text: str) -> tuple[int, list[int]]:
        """Return the number of slots of the best window, and each head's sum over them."""
        found: tuple[int, list[int]] = _engine().head_sums(
            text, self.weights, self.scale, self.bias, self.heads, self.columns
        )
        return found


def in_threads(work: Callable[[Any], Any], items: list[Any], threads: int) -> list[Any]:
    """Do work on items in threads, and return the results in order."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(work, items))


def _vectors() -> ModuleType | None:
    try:
        return importlib.import_module("hostrisk._vectors")
    except ImportError:
        return None
