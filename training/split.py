"""Group near-duplicates and split by group, so that no variant of a row straddles a split.

1. Rows with the same stem (folded words without marks and numbers) or the same template are one
   group.
2. Rows that share three of the smallest hashes of their features (MinHash, Broder 1997; banding
   as in Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, chapter 3) and half of all
   features (Jaccard) are one group.
3. A group goes to a split by a hash of the smallest stem in it: the same in every run, and other
   groups do not move when rows are added.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

__all__ = ["assign_splits", "group_near_duplicates"]

_BANDS, _ROWS = 12, 3
_PRIME = (1 << 31) - 1
_LEAST_JACCARD = 0.5
_NOISE = re.compile(r"https?://\S+|[@#]\w+|\brt\b|[^\w\s]|[\d_]", re.IGNORECASE)


def stem(text: str) -> str:
    """Return the words of a text without mentions, links, signs and numbers."""
    return " ".join(_NOISE.sub(" ", text.lower()).split())


def _signatures(features: csr_matrix, seed: int = 0) -> NDArray[np.int64]:
    """Return MinHash values, shape (rows, bands * rows a band); -1 for rows without features."""
    rng = np.random.default_rng(seed)
    empty = np.diff(features.indptr) == 0
    starts = np.minimum(features.indptr[:-1], max(features.nnz - 1, 0))
    found = np.empty((features.shape[0], _BANDS * _ROWS), dtype=np.int64)
    slots = features.indices.astype(np.int64)
    for column in range(found.shape[1]):
        factor, offset = (int(value) for value in rng.integers(1, _PRIME, size=2))
        hashed = (slots * factor + offset) % _PRIME
        found[:, column] = np.minimum.reduceat(hashed, starts)
    found[empty] = -1
    return found


def _jaccard(features: csr_matrix, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray:
    """Return the share of common features of pairs of rows."""
    found = np.empty(len(left))
    sizes = np.diff(features.indptr)
    for start in range(0, len(left), 20_000):
        at = slice(start, start + 20_000)
        common = features[left[at]].multiply(features[right[at]]).sum(axis=1)
        total = sizes[left[at]] + sizes[right[at]]
        common = np.asarray(common).ravel()
        found[at] = common / np.maximum(total - common, 1)
    return found


def _links_by_key(keys: Iterable[object]) -> tuple[list[int], list[int]]:
    """Link every row to the first row with the same key; None has no key."""
    first: dict[object, int] = {}
    left, right = [], []
    for row, key in enumerate(keys):
        if key is not None and (other := first.setdefault(key, row)) != row:
            left.append(other)
            right.append(row)
    return left, right


def group_near_duplicates(
    texts: Sequence[str], features: csr_matrix, templates: Sequence[str | None]
) -> NDArray[np.int64]:
    """Return the group number of each row.

    :param features: binary features, shape (rows, slots).
    :param templates: what rows were written from, where known.
    """
    left, right = _links_by_key(stem(text) or None for text in texts)
    more = _links_by_key(templates)
    left, right = left + more[0], right + more[1]
    signatures = _signatures(features)
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * _ROWS : (band + 1) * _ROWS])
        keys = (None if row[0] < 0 else row.tobytes() for row in part)
        a, b = (np.array(side, dtype=np.int64) for side in _links_by_key(keys))
        close = _jaccard(features, a, b) >= _LEAST_JACCARD if len(a) else np.zeros(0, dtype=bool)
        left, right = left + a[close].tolist(), right + b[close].tolist()
    size = len(texts)
    links = csr_matrix((np.ones(len(left)), (left, right)), shape=(size, size))
    return connected_components(links, directed=False)[1].astype(np.int64)


def assign_splits(
    texts: Sequence[str], groups: NDArray[np.int64], shares: dict[str, float]
) -> NDArray[np.str_]:
    """Return the split of each row: ``shares`` maps names of splits to shares that add up to 1."""
    names, edges = list(shares), np.cumsum(list(shares.values()))
    smallest: dict[int, str] = {}
    for text, group in zip(texts, groups.tolist(), strict=True):
        key = stem(text)
        smallest[group] = min(smallest.get(group, key), key)
    place = {
        group: min(int(np.searchsorted(edges, _unit(key), side="right")), len(names) - 1)
        for group, key in smallest.items()
    }
    return np.array([names[place[group]] for group in groups.tolist()])


def _unit(key: str) -> float:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
