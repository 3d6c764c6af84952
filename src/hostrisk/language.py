"""Whether a text is in a language that a model was trained for, by the share of unseen words.

A model carries the words most common in what it learned from. English posts hold few others; posts
in other languages hold mostly others, whatever the language, so that none has to be known. Unlike
a language detector this also tells of gibberish, and needs nothing but the model. It is the plain
out-of-vocabulary rate; docs/limits.md compares it with detectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hostrisk.linear import word_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Vocabulary", "unseen_share"]


class Vocabulary(NamedTuple):
    """The words that a model knows: a bit for each slot, and the highest share of unseen ones."""

    languages: tuple[str, ...]
    words: memoryview
    limit: float

    def supports(self, texts: Sequence[str | None]) -> list[bool | None]:
        """Return for each text whether it is in a language of the model, None for None."""
        shares = unseen_share(texts, self.words)
        return [
            None if text is None else share <= self.limit
            for text, share in zip(texts, shares, strict=True)
        ]

    def unsupported(self, texts: Sequence[str | None]) -> NDArray[np.bool_]:
        """Tell which texts are in no language of the model, shape (texts,); None is not one."""
        import numpy as np

        counts = np.frombuffer(word_counts(texts, self.words), dtype=np.int32).reshape(-1, 2)
        return np.asarray(counts[:, 1] / (counts[:, 0] + 1) > self.limit)


def unseen_share(texts: Sequence[str | None], words: memoryview) -> list[float]:
    """Return the share of words of each text that are not known, 0 where there are none.

    One known word is added to each text, so that an unseen one in a short text weighs less.
    """
    counts = memoryview(word_counts(texts, words)).cast("i")
    return [unseen / (count + 1) for count, unseen in zip(counts[::2], counts[1::2], strict=True)]
