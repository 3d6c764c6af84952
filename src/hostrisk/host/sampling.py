"""Which posts people should review: the best sample for a budget, with known probabilities.

1. Posts are put into strata of rising score, for each host apart, cut so that each has the same sum
   of square roots of the violent share expected, which makes equal numbers from each stratum nearly
   the best (Dalenius & Hodges 1959, JASA 54; Neyman 1934, JRSS 97). The score says how many violent
   posts to expect in a stratum; a tenth of them is expected at random scores, since models miss
   some that look like any other post.
2. A fifth of the budget is spread over the strata by their size, as a plain random sample would be,
   so that no stratum rests on the scores alone.
3. In one pass each cell of host and score keeps the posts with the smallest random numbers; those
   are a plain random sample of the cell, so every post of a stratum has the same chance.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.classifier import Classifier, load
from hostrisk.errors import InputError
from hostrisk.host.scale import STEPS, step_of
from hostrisk.host.source.columns import choose_columns
from hostrisk.host.source.posts import open_posts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

    from hostrisk.host.source.columns import Columns

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

__all__ = [
    "SampledPost", "allocate", "cut_strata", "draw", "expected_sizes", "sample",
]  # fmt: skip

_LEAST_A_STRATUM = 25
_FEWEST_STRATA, _MOST_STRATA = 4, 10
_PLAIN_SHARE = 0.2
_SCORED_AT_RANDOM = 0.1


class SampledPost(NamedTuple):
    """A post to review, the chance it had to be drawn, and the stratum it was drawn from."""

    id: str
    text: str
    inclusion_probability: float
    stratum: str
    host: str


def sample(
    posts: Any,
    n: int,
    *,
    seed: int,
    text: str = "text",
    time: str = "created_at",
    id: str = "id",  # noqa: A002  # what the column is called
    host: str | None = None,
    name: str | None = None,
    model: Classifier | str | os.PathLike[str] = "default",
    columns: Columns | str | os.PathLike[str] | None = None,
    query: str | None = None,
    threads: int = 1,
    advance: Callable[[int], object] | None = None,
) -> pa.Table:
    """Draw the posts to review: the best sample of ``n`` for an estimate of prevalence.

    Returns a table with ``id``, ``text``, ``inclusion_probability``, ``stratum`` and ``host``, in
    an order that tells nothing of the scores. Give it a column ``label`` of 0 and 1, by ``hostrisk
    review`` or any other tool, and pass it to :func:`assess` as ``labels``.

    :param n: how many posts; all of them where there are fewer.
    :param seed: the same posts, model and seed give the same sample.
    :raises InputError: posts or a setting cannot be used, or there is nothing to draw.
    """
    import pyarrow as pa

    from hostrisk._columns import build_column

    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n is {n!r}; it must be a whole number of at least 1")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a whole number of at least 0")
    classifier = model if isinstance(model, Classifier) else load(model)
    source = open_posts(
        posts,
        choose_columns(columns, text=text, time=time, id=id, host=host),
        host=name,
        query=query,
    )

    def score(column: Any) -> Any:
        found = classifier.score(column, threads=threads).fill_null(0)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.float64)

    drawn = draw(source.batches(advance), score, n, seed=seed)
    parts = dict(zip(SampledPost._fields, zip(*drawn, strict=True), strict=True))
    kinds = {"inclusion_probability": "double"}
    return pa.table(
        {
            name: build_column(list(values), kinds.get(name, "string"))
            for name, values in parts.items()
        }
    )


def cut_strata(counts: Floats, scores: Floats, *, reviews: int) -> Ints:
    """Return the stratum of each cell, from 0, cells in the order of their scores.

    :param counts: posts in each cell, shape (cells,).
    :param scores: sum of the scores of each cell.
    :param reviews: how many posts are to be drawn.
    """
    strata = min(max(reviews // _LEAST_A_STRATUM, _FEWEST_STRATA), _MOST_STRATA)
    # Two reviews for each; posts of a stratum without any could not be drawn, nor estimated.
    strata = max(min(strata, reviews // 2), 1)
    size = expected_sizes(counts, scores)
    done = np.cumsum(size) - size / 2
    raw = np.minimum((done * strata / max(size.sum(), 1e-300)).astype(np.int64), strata - 1)
    # Numbers without a gap, also where one cell is worth more than a stratum.
    return np.unique(raw, return_inverse=True)[1]


def expected_sizes(counts: Floats, scores: Floats) -> Floats:
    """Return for each cell its posts times the square root of the violent share expected in it.

    That is the standard deviation of a label where few are violent. Where the scores say that most
    are, it is more, since on other hosts than the model's own fewer are.
    """
    mean = scores.sum() / max(counts.sum(), 1)
    rate = np.divide(scores, counts, out=np.zeros_like(scores), where=counts > 0)
    rate = (1 - _SCORED_AT_RANDOM) * rate + _SCORED_AT_RANDOM * mean
    sizes: Floats = counts * np.sqrt(rate)
    return sizes


def allocate(counts: NDArray[Any], sizes: NDArray[Any], reviews: int) -> Ints:
    """Share out reviews over strata: by ``sizes``, a fifth by ``counts``; at least two to each.

    A stratum never gets more than it has; what it cannot take goes to the others.
    """
    left = int(min(reviews, counts.sum()))
    by_size = sizes / max(sizes.sum(), 1e-300)
    wish = (1 - _PLAIN_SHARE) * by_size + _PLAIN_SHARE * counts / max(counts.sum(), 1)
    given: Ints = np.minimum(counts, 2).astype(np.int64)
    if given.sum() >= left:
        return _first_come(given, left)
    while left > given.sum():
        open_strata = given < counts
        free = left - given[~open_strata].sum()
        goal = wish * free / wish[open_strata].sum()
        part = np.where(open_strata, np.maximum(goal - given, 0), 0.0)
        rest = left - given.sum()
        added = np.floor(np.minimum(rest * part / part.sum(), counts - given)).astype(np.int64)
        if added.sum() == 0:
            best = np.argsort(-part, kind="stable")[:rest]
            added[best[part[best] > 0]] = 1
        given += added
    return given


def _first_come(given: Ints, left: int) -> Ints:
    """Cut down from the lowest scores until no more than ``left`` are given."""
    for at in range(len(given)):
        given[at] -= min(given[at], max(given.sum() - left, 0))
    return given


class _Cell:
    """The posts of one host and one cell of scores with the smallest random numbers."""

    def __init__(self) -> None:
        self.posts = 0
        self.score = 0.0
        self.heap: list[tuple[float, str, str]] = []  # of the numbers with a minus sign
        self.limit = 1.0

    def offer(self, number: float, ident: str, text: str, most: int) -> None:
        if len(self.heap) < most:
            heapq.heappush(self.heap, (-number, ident, text))
        else:
            heapq.heapreplace(self.heap, (-number, ident, text))
        if len(self.heap) == most:
            self.limit = -self.heap[0][0]


def draw(
    batches: Iterable[pa.RecordBatch],
    score: Callable[[Any], Floats],
    reviews: int,
    *,
    seed: int,
) -> list[SampledPost]:
    """Draw the posts to review, in an order that says nothing of their scores.

    With several hosts each gets the same part of the budget. Posts without text are not drawn; as
    nothing can be found in them, estimates take them for not violent.

    :param batches: posts as :class:`hostrisk.host.source.posts.Posts` gives them.
    :param score: from a column of texts to their scores.
    :raises InputError: there is no post to draw.
    """
    rng = np.random.default_rng(seed)
    cells: dict[tuple[str, int], _Cell] = {}
    for batch in batches:
        _take_in(cells, batch, score(batch.column("text")), rng, reviews)
    hosts = sorted({host for host, _ in cells})
    if not hosts:
        raise InputError("there is no post with text to draw from")
    own = [[cells[key] for key in sorted(cells) if key[0] == host] for host in hosts]
    budget = _share_out(reviews, [sum(cell.posts for cell in each) for each in own])
    drawn = [
        post
        for host, each, number in zip(hosts, own, budget, strict=True)
        for post in _draw_host(host, each, number)
    ]
    return [drawn[at] for at in rng.permutation(len(drawn))]


def _share_out(reviews: int, posts: list[int]) -> list[int]:
    """Give each host the same number of reviews, or all its posts where it has fewer."""
    given = [0] * len(posts)
    for left, at in zip(
        range(len(posts), 0, -1), sorted(range(len(posts)), key=posts.__getitem__), strict=True
    ):
        given[at] = min(posts[at], (reviews - sum(given)) // left)
    return given


def _take_in(
    cells: dict[tuple[str, int], _Cell],
    batch: pa.RecordBatch,
    scores: Floats,
    rng: np.random.Generator,
    most: int,
) -> None:
    from hostrisk.host.source.values import blank

    numbers = rng.random(len(scores))
    known = ~blank(batch.column("text"))
    hosts = batch.column("host").dictionary_encode()
    codes = hosts.indices.to_numpy()
    keys = codes * STEPS + step_of(scores)
    names = hosts.dictionary.to_pylist()
    chosen: list[tuple[int, _Cell]] = []
    for key in np.unique(keys[known]).tolist():
        inside = known & (keys == key)
        code, place = divmod(key, STEPS)
        cell = cells.setdefault((names[code], place), _Cell())
        cell.posts += int(inside.sum())
        cell.score += float(scores[inside].sum())
        rows = np.flatnonzero(inside & (numbers < cell.limit))
        smallest = rows[np.argsort(numbers[rows], kind="stable")[:most]]
        chosen.extend((int(row), cell) for row in smallest)
    ids, texts = batch.column("id"), batch.column("text")
    for row, cell in chosen:
        if numbers[row] < cell.limit:
            cell.offer(float(numbers[row]), ids[row].as_py(), texts[row].as_py(), most)


def _draw_host(host: str, cells: list[_Cell], reviews: int) -> list[SampledPost]:
    """Draw from the cells of one host, which come lowest scores first."""
    counts = np.array([cell.posts for cell in cells], dtype=np.float64)
    scores = np.array([cell.score for cell in cells])
    strata = cut_strata(counts, scores, reviews=reviews)
    sizes = np.bincount(strata, expected_sizes(counts, scores))
    totals = np.bincount(strata, counts)
    drawn: list[SampledPost] = []
    for stratum, number in enumerate(allocate(totals, sizes, reviews).tolist()):
        inside = (cell for cell, place in zip(cells, strata, strict=True) if place == stratum)
        pool = sorted((-key, ident, text) for cell in inside for key, ident, text in cell.heap)
        name, chance = f"{host} {stratum + 1:02d}", number / float(totals[stratum])
        drawn.extend(
            SampledPost(ident, text, chance, name, host) for _, ident, text in pool[:number]
        )
    return drawn
