"""Tell which posts were there before, in 8 bytes a post.

Ids are kept as 64-bit hashes in sorted runs, each at least four times as long as the next: a batch
is sorted, looked up in each run by bisection, and merged with the runs it has caught up with, as in
a log-structured merge tree (O'Neil, Cheng, Gawlick and O'Neil 1996). Two different ids share a hash
by chance with probability n * n / 2**65: less than one in 300,000 for 10 million posts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Seen", "hash_ids"]

_GROWTH = 4
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio


class Seen:
    """The hashes met so far."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add hashes, shape (rows,), and tell which were met before, earlier in them included."""
        order = np.argsort(hashes)
        values = hashes[order]
        known = np.zeros(len(values), dtype=np.bool_)
        known[1:] = values[1:] == values[:-1]
        if known.any():  # a stable sort takes longer, and only ties need one
            order = np.argsort(hashes, kind="stable")
        for run in self._runs:
            known |= run.take(np.searchsorted(run, values), mode="clip") == values
        self._keep(values[~known])
        result = np.empty_like(known)
        result[order] = known
        return result

    def _keep(self, new: NDArray[np.uint64]) -> None:
        if len(new):
            self._runs.append(new)
        while len(self._runs) > 1 and _GROWTH * len(self._runs[-1]) > len(self._runs[-2]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort()
            self._runs.append(merged)


def hash_ids(ids: pa.Array[Any], hosts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash ids, an Arrow array of strings without nulls, each with the number of its host.

    Python's own hash is keyed anew in each process, so nobody can make ids that collide.
    """
    hashes = np.fromiter(map(hash, ids.to_pylist()), dtype=np.int64, count=len(ids))
    mixed: NDArray[np.uint64] = hashes.view(np.uint64) + hosts * _ODD
    return mixed
