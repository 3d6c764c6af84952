"""One pass over the posts: score them, count them by host and week, keep the few that matter.

Memory does not grow with the number of posts but for 26 bytes for each that is flagged, reported,
removed or reviewed (what became of it) and the 8 bytes an id that tell duplicates (seen.py).
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.decide import judge, judge_many
from hostrisk.host.scale import STEPS, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from hostrisk.classifier import Classifier

__all__ = ["NO_WEEK", "Followed", "Kept", "Sums", "Tally", "week_start"]

NO_WEEK = -1
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_NEVER = np.iinfo(np.int64).min  # what NumPy calls NaT


class Sums(NamedTuple):
    """Sums over posts, each a number: of posts, scores (and their squares), and the same by views.

    A post without text has the score 0, and is among ``textless``. ``unsupported`` are in no
    language of the model.
    """

    posts: float = 0
    flagged: float = 0
    score: float = 0
    square: float = 0
    unsupported: float = 0
    views: float = 0
    views_square: float = 0
    views_flagged: float = 0
    textless: float = 0


class Kept(NamedTuple):
    """A post that is kept whole: a reviewed one, or one with a high score; times in microseconds.

    ``label`` is None where nobody reviewed it.
    """

    host: str
    id: str
    text: str
    score: float
    flagged: bool
    time: int | None
    url: str | None
    views: int | None
    reported: int | None
    removed: int | None
    kind: str | None
    targets: tuple[str, ...]
    label: int | None


class Followed(NamedTuple):
    """Posts that were flagged, reported, removed or reviewed; arrays of shape (posts,).

    Times are datetime64, NaT for none; ``label`` is 1 or 0, and -1 where nobody reviewed the post.
    """

    created: NDArray[np.datetime64]
    reported: NDArray[np.datetime64]
    removed: NDArray[np.datetime64]
    flagged: NDArray[np.bool_]
    label: NDArray[np.int8]


def week_start(week: int) -> str:
    """Return the Monday of a week, as a date."""
    return str(np.datetime64("1969-12-29", "D") + 7 * week)


class _Columns(NamedTuple):
    """A batch as NumPy arrays."""

    host: NDArray[np.int64]
    week: NDArray[np.int64]
    score: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    unsupported: NDArray[np.bool_]
    textless: NDArray[np.bool_]
    views: NDArray[np.float64]
    time: NDArray[np.int64]
    reported: NDArray[np.int64]
    removed: NDArray[np.int64]


class Tally:
    """What was counted so far, filled by ``add``.

    ``sums`` maps (host, week) to Sums, ``kinds`` and ``targets`` (host, week) to counts of flagged
    posts by name; ``reviewed`` holds the posts that people labeled.

    :param labels: label by (host, id), or by (None, id) where the labels name no host.
    :param highest: how many posts of the highest scores are kept for each host.
    """

    def __init__(
        self,
        classifier: Classifier,
        threshold: float,
        *,
        labels: Mapping[tuple[str | None, str], int],
        highest: int,
        threads: int = 1,
    ) -> None:
        self._classifier = classifier
        self._threshold = threshold
        self._labels = labels
        self._label_ids = _id_set(labels)
        self._highest = highest
        self._threads = threads
        self._codes: dict[str, int] = {}
        self._totals: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._steps: dict[tuple[int, int], NDArray[np.int64]] = {}
        self._heaps: dict[int, list[tuple[float, str, Kept]]] = defaultdict(list)
        self._followed: dict[int, tuple[array[int], ...]] = {}
        self.kinds: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.targets: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.reviewed: list[Kept] = []
        self.first: int | None = None
        self.last: int | None = None

    @property
    def hosts(self) -> list[str]:
        """The hosts met so far, in the order of their first post."""
        return list(self._codes)

    @property
    def sums(self) -> dict[tuple[str, int], Sums]:
        """Sums by host and week."""
        names = self.hosts
        return {
            (names[host], week): Sums(*map(float, totals))
            for (host, week), totals in self._totals.items()
        }

    def weeks(self, host: str) -> dict[int, tuple[Sums, NDArray[np.int64]]]:
        """Return the sums of a host by week, and its posts at each step of the score, (steps,)."""
        code = self._codes[host]
        return {
            week: (Sums(*map(float, totals)), self._steps[own, week])
            for (own, week), totals in self._totals.items()
            if own == code
        }

    def highest(self, host: str) -> list[Kept]:
        """Return the posts of the highest scores, the highest first, equal scores by id."""
        heap = self._heaps[self._codes[host]]
        return [kept for *_, kept in sorted(heap, key=lambda entry: (-entry[0], entry[2].id))]

    def followed(self, host: str) -> Followed:
        """Return what became of the posts of a host that were flagged, reported or removed."""
        columns = self._followed.get(self._codes[host]) or _empty()
        times = [np.array(column, dtype=np.int64).view("datetime64[us]") for column in columns[:3]]
        flagged, label = (np.array(column, dtype=np.int8) for column in columns[3:])
        return Followed(times[0], times[1], times[2], flagged.astype(np.bool_), label)

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in the next posts, as :class:`hostrisk.host.source.posts.Posts` gives them."""
        columns = self._read(batch)
        self._note_times(columns.time)
        self._add_sums(columns)
        labels = self._find_labels(batch, columns.host)
        self._follow(columns, labels)
        self._keep(batch, columns, labels)

    def _read(self, batch: pa.RecordBatch) -> _Columns:
        from hostrisk.host.source.values import blank

        text = batch.column("text")
        textless = blank(text)
        scored = _numbers(self._classifier.score(text, threads=self._threads))
        score = np.where(textless, 0.0, scored)
        time = _times(batch, "time")
        week = np.where(time == _NEVER, NO_WEEK, (time // _DAY + 3) // 7)
        return _Columns(
            self._host_codes(batch.column("host")),
            week,
            score,
            (score >= self._threshold) & ~textless,
            self._unsupported(text),
            textless,
            _numbers(batch.column("views")),
            time,
            _times(batch, "reported"),
            _times(batch, "removed"),
        )

    def _host_codes(self, column: Any) -> NDArray[np.int64]:
        encoded = column.dictionary_encode()
        codes = [
            self._codes.setdefault(name, len(self._codes))
            for name in encoded.dictionary.to_pylist()
        ]
        places: NDArray[np.int64] = np.array(codes)[encoded.indices.to_numpy()].astype(np.int64)
        return places

    def _unsupported(self, text: Any) -> NDArray[np.bool_]:
        vocabulary = self._classifier.artifact.vocabulary
        if vocabulary is None:
            return np.zeros(len(text), dtype=np.bool_)
        return vocabulary.unsupported(text.to_pylist())

    def _note_times(self, time: NDArray[np.int64]) -> None:
        known = time[time != _NEVER]
        if len(known):
            low, high = int(known.min()), int(known.max())
            self.first = low if self.first is None else min(low, self.first)
            self.last = high if self.last is None else max(high, self.last)

    def _add_sums(self, columns: _Columns) -> None:
        # Weeks fit into 2**20 with room for the one of posts without a date.
        cells, place = np.unique((columns.host << 20) + columns.week + 1, return_inverse=True)
        score, views = columns.score, columns.views
        parts = (
            None, columns.flagged, score, score**2, columns.unsupported,
            views, views**2, views * columns.flagged, columns.textless,
        )  # fmt: skip
        added = np.stack([np.bincount(place, part, minlength=len(cells)) for part in parts], axis=1)
        at = place * STEPS + step_of(score)
        steps = np.bincount(at, minlength=len(cells) * STEPS).reshape(-1, STEPS)
        for cell, row, counts in zip(cells.tolist(), added, steps, strict=True):
            key = (cell >> 20, (cell & 0xFFFFF) - 1)
            self._totals[key] = self._totals[key] + row if key in self._totals else row
            self._steps[key] = self._steps[key] + counts if key in self._steps else counts

    def _find_labels(self, batch: pa.RecordBatch, hosts: NDArray[np.int64]) -> NDArray[np.int8]:
        """Return the label of each post, -1 where it has none; the table's before a column's."""
        import pyarrow.compute as pc

        labels = _numbers(batch.column("label").fill_null(-1)).astype(np.int8)
        if self._label_ids is not None:
            ids, names = batch.column("id"), self.hosts
            there = pc.is_in(ids, value_set=self._label_ids).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(there).tolist():
                ident = ids[row].as_py()
                found = self._labels.get(
                    (names[hosts[row]], ident), self._labels.get((None, ident))
                )
                labels[row] = labels[row] if found is None else found
        return labels

    def _follow(self, columns: _Columns, labels: NDArray[np.int8]) -> None:
        times = (columns.time, columns.reported, columns.removed)
        chosen = columns.flagged | (times[1] != _NEVER) | (times[2] != _NEVER) | (labels >= 0)
        for host in np.unique(columns.host[chosen]).tolist():
            own = chosen & (columns.host == host)
            kept = self._followed.setdefault(host, _empty())
            parts: tuple[NDArray[Any], ...] = (*times, columns.flagged, labels)
            for column, part in zip(kept, parts, strict=True):
                column.frombytes(part[own].astype(column.typecode).tobytes())

    def _keep(self, batch: pa.RecordBatch, columns: _Columns, labels: NDArray[np.int8]) -> None:
        """Count flagged posts by kind and target, and keep those of high scores or with a label."""
        flagged = np.flatnonzero(columns.flagged)
        if len(flagged):
            texts = batch.column("text").take(_indices(flagged)).to_pylist()
            self._count_kinds(texts, columns.host[flagged], columns.week[flagged])
        kept = np.union1d(np.flatnonzero(labels >= 0), self._candidates(columns, flagged))
        if not len(kept):
            return
        values = batch.take(_indices(kept)).to_pydict()
        for at, row in enumerate(kept.tolist()):
            post = self._kept(values, at, columns, row, int(labels[row]))
            if post.flagged:
                self._offer(int(columns.host[row]), post)
            if post.label is not None:
                self.reviewed.append(post)

    def _count_kinds(
        self, texts: Sequence[str | None], hosts: NDArray[np.int64], weeks: NDArray[np.int64]
    ) -> None:
        artifact, policy = self._classifier.artifact, self._classifier.policy
        kinds, kind, targets, chosen = judge_many(artifact, policy, [text or "" for text in texts])
        cells, place = np.unique((hosts << 20) + weeks + 1, return_inverse=True)
        names = self.hosts
        for at, cell in enumerate(cells.tolist()):
            inside = place == at
            key = (names[cell >> 20], (cell & 0xFFFFF) - 1)
            by_kind = np.bincount(np.maximum(kind[inside], 0), minlength=len(kinds))[: len(kinds)]
            by_target = chosen[inside].sum(axis=0)
            for counts, found, known in (
                (self.kinds[key], by_kind, kinds), (self.targets[key], by_target, targets),
            ):  # fmt: skip
                counts.update(
                    {name: int(count) for name, count in zip(known, found, strict=True) if count}
                )

    def _candidates(self, columns: _Columns, flagged: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the flagged rows that may be among the highest scores of their host."""
        hosts = columns.host[flagged]
        chosen = []
        for host in np.unique(hosts).tolist():
            heap = self._heaps[host]
            own = flagged[hosts == host]
            if len(heap) == self._highest:
                own = own[columns.score[own] >= (heap[0][0] if heap else np.inf)]
            if len(own) > self._highest > 0:
                least = np.partition(columns.score[own], -self._highest)[-self._highest]
                own = own[columns.score[own] >= least]
            chosen.append(own)
        return np.concatenate(chosen) if chosen else flagged

    def _kept(
        self, values: dict[str, Any], at: int, columns: _Columns, row: int, label: int
    ) -> Kept:
        text, is_flagged = values["text"][at] or "", bool(columns.flagged[row])
        # Sums take a post without text for 0; a post that is shown has the score of the model.
        score = self._classifier.score(text) if columns.textless[row] else columns.score[row]
        artifact, policy = self._classifier.artifact, self._classifier.policy
        kind, targets = judge(artifact, policy, text) if is_flagged else (None, ())
        time, reported, removed = (
            None if moment == _NEVER else int(moment)
            for moment in (columns.time[row], columns.reported[row], columns.removed[row])
        )
        return Kept(
            values["host"][at], values["id"][at], text, float(score), is_flagged, time,
            values["url"][at], values["views"][at], reported, removed, kind, targets,
            None if label < 0 else label,
        )  # fmt: skip

    def _offer(self, host: int, kept: Kept) -> None:
        """Keep a post if its score is among the highest; of equal scores the smaller ids."""
        heap = self._heaps[host]
        entry = (kept.score, _descending(kept.id), kept)
        if len(heap) < self._highest:
            heapq.heappush(heap, entry)
        elif heap and entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)


def _descending(text: str) -> Any:
    """Return a key by which smaller texts count as larger, and a text's beginning as smaller."""
    return (*(-ord(letter) for letter in text), 1)


def _empty() -> tuple[array[int], ...]:
    return array("q"), array("q"), array("q"), array("b"), array("b")


def _indices(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows.tobytes())])


def _numbers(column: Any) -> NDArray[np.float64]:
    """Return an Arrow column of numbers as floats, 0 for null."""
    import pyarrow as pa

    filled = column.fill_null(0).cast(pa.float64(), safe=False)  # views may be beyond 2**53
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _times(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    """Return a column of times as microseconds since 1970, the smallest number for null."""
    import pyarrow as pa

    filled = batch.column(name).cast(pa.int64()).fill_null(_NEVER)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def _id_set(labels: Mapping[tuple[str | None, str], int]) -> Any:
    from hostrisk._columns import build_column

    return build_column(sorted({ident for _, ident in labels}), "string") if labels else None
