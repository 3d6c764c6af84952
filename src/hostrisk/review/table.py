"""The verdicts on a sample: who gave which, what comes of them, and how far people agree.

The table keeps all its columns and gets new ones: ``label_1``, ``kind_1`` and ``target_1`` are what
the first reviewer said, ``label_2`` and so on what the second did, and ``label``, ``kind`` and
``target`` what came of it. Where only one has labeled a post, that is the outcome. Where both have
and agree on the label, it stands, with the first one's kind and targets where the two differ. Where
they disagree, the outcome is empty until somebody settles it. Several targets are joined by commas.

Agreement is told by Cohen's kappa (Cohen 1960, Educational and Psychological Measurement 20) with
the 95% interval from its large-sample variance (Fleiss, Cohen & Everitt 1969, Psychological
Bulletin 72), as statsmodels has them.

A reviewer who knows the stratum of a post knows what the model thought of it. So posts come in an
order drawn from their ids, another one for each reviewer, but always the same one.
"""

from __future__ import annotations

import hashlib
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.errors import InputError, MissingExtraError
from hostrisk.policy import KINDS, TARGETS
from hostrisk.review.sheet import Sheet, open_sheet

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

__all__ = [
    "FIRST", "SECOND", "SETTLE", "Agreement", "Pace", "Progress", "Review", "Verdict",
    "describe_agreement", "describe_verdict", "open_review",
]  # fmt: skip

# Who labels, as the ending of the columns that are written.
FIRST, SECOND, SETTLE = "_1", "_2", ""
_PARTS = ("label", "kind", "target")
_LABELS = {"": None, "0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_LONGEST_PAUSE = 300.0
_FEWEST_PACES = 3


class Verdict(NamedTuple):
    """What somebody says about a post: 1 is violent, with its kind and target groups, 0 is not."""

    label: int
    kind: str = ""
    targets: tuple[str, ...] = ()


class Progress(NamedTuple):
    """How many posts are to be labeled, and how many of them are, and are violent."""

    done: int
    total: int
    violent: int


class Agreement(NamedTuple):
    """How far two reviewers agree on the posts that both have labeled.

    ``kappa`` is None where both gave one and the same label to all posts, its bounds also where
    they never disagreed or one gave a single label: the variance of the formula is 0 then, which
    says nothing about other posts.
    """

    posts: int
    agreed: int
    kappa: float | None
    low: float | None
    high: float | None

    @property
    def share(self) -> float:
        """Share of the posts on whose label both agree."""
        return self.agreed / self.posts


class Review:
    """A sample and one person's pass over it; made by :func:`open_review`.

    Posts are numbered from 0 in the order in which they are shown.
    """

    def __init__(self, sheet: Sheet, role: str = FIRST) -> None:
        _check_cells(sheet)
        if role == SETTLE and "label_2" not in sheet.columns:
            raise InputError(
                f"{sheet.path} has no verdicts of a second reviewer; collect them with --second"
            )
        self.sheet = sheet
        self.role = role
        rows = range(len(sheet))
        self._order = _shuffled(sheet, rows, role)
        if role == SETTLE:
            self._order = [row for row in self._order if self._disputed(row)]
        self._history: list[tuple[int, dict[str, str]]] = []
        written = (role, SETTLE) if role != SETTLE else (SETTLE,)
        self._columns = [part + ending for ending in written for part in _PARTS]
        sheet.add_columns(self._columns)

    def __len__(self) -> int:
        return len(self._order)

    def id(self, at: int) -> str:
        """Return the id of a post."""
        return self.sheet.get(self._order[at], "id")

    def text(self, at: int) -> str:
        """Return the text of a post."""
        return self.sheet.get(self._order[at], "text")

    def verdict(self, at: int, role: str | None = None) -> Verdict | None:
        """Return what a reviewer said about a post, the present one if not told whose."""
        return self._verdict(self._order[at], self.role if role is None else role)

    def give(self, at: int, verdict: Verdict) -> None:
        """Take a verdict and save the file.

        Adding kind and targets to the verdict given last is no step of its own to undo.

        :raises InputError: the verdict is none, or the file cannot be saved; it is not taken then.
        """
        row = self._order[at]
        before, was = self._snapshot(row), self._verdict(row, self.role)
        self._save(row, self._cells_after(row, verdict))
        completes = was is not None and was.label == verdict.label == 1
        again = completes and bool(self._history) and self._history[-1][0] == row
        if not again and self._snapshot(row) != before:
            self._history.append((row, before))

    def undo(self) -> int | None:
        """Take back the last verdict and save; return the number of its post, None if none is left.

        :raises InputError: the file cannot be saved; the verdict stays then.
        """
        if not self._history:
            return None
        row, before = self._history[-1]
        self._save(row, before)
        self._history.pop()
        return self._order.index(row)

    def next_open(self, after: int = -1) -> int | None:
        """Return the next post without a verdict after one, from the start again; None if none."""
        total = len(self)
        numbers = ((after + step) % total for step in range(1, total + 1))
        return next((at for at in numbers if self.verdict(at) is None), None)

    def progress(self) -> Progress:
        """Count what the present reviewer has labeled."""
        given = [self._verdict(row, self.role) for row in self._order]
        labels = [verdict.label for verdict in given if verdict is not None]
        return Progress(len(labels), len(self), sum(labels))

    def disputes(self) -> int:
        """Count the posts on which the reviewers disagree and nobody has settled it."""
        rows = range(len(self.sheet))
        return sum(self._disputed(row) and not self.sheet.get(row, "label") for row in rows)

    def agreement(self) -> Agreement | None:
        """Compare the two reviewers; None where no post has two verdicts.

        :raises MissingExtraError: there is a second reviewer, but statsmodels is not installed.
        """
        if "label_2" not in self.sheet.columns:
            return None
        kappa = _load_kappa()
        counts = [[0, 0], [0, 0]]
        for row in range(len(self.sheet)):
            first, second = self._verdict(row, FIRST), self._verdict(row, SECOND)
            if first is not None and second is not None:
                counts[first.label][second.label] += 1
        return _agreement(counts, kappa) if any(map(any, counts)) else None

    def _verdict(self, row: int, role: str) -> Verdict | None:
        label, kind, target = (self.sheet.get(row, part + role) for part in _PARTS)
        number = _label(label)
        return None if number is None else Verdict(number, kind, _targets(target))

    def _disputed(self, row: int) -> bool:
        return _differ(self._verdict(row, FIRST), self._verdict(row, SECOND))

    def _snapshot(self, row: int) -> dict[str, str]:
        return {column: self.sheet.get(row, column) for column in self._columns}

    def _cells_after(self, row: int, verdict: Verdict) -> dict[str, str]:
        """Return the cells that hold a verdict and what comes of it."""
        cells = _cells(verdict, self.role)
        if self.role == SETTLE:
            return cells
        given = {role: self._verdict(row, role) for role in (FIRST, SECOND)}
        given[self.role] = verdict
        first, second = given[FIRST], given[SECOND]
        # What was settled stays while the disagreement does.
        if self._disputed(row) and _differ(first, second):
            return cells
        return cells | _cells(_outcome(first, second), SETTLE)

    def _save(self, row: int, cells: dict[str, str]) -> None:
        before = self._snapshot(row)
        self.sheet.put(row, cells)
        try:
            self.sheet.save()
        except BaseException:
            self.sheet.put(row, before)
            raise


class Pace:
    """How long a post takes, for telling how long the rest will."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._seconds: list[float] = []

    def begin(self) -> None:
        """Say that a post is shown only now."""
        self._last = self._clock()

    def step(self) -> None:
        """Say that a post is done; one that took more than five minutes was a pause."""
        now = self._clock()
        if now - self._last <= _LONGEST_PAUSE:
            self._seconds.append(now - self._last)
        self._last = now

    def left(self, posts: int) -> str:
        """Say how long so many posts will take; empty while too few are done to tell."""
        if not posts or len(self._seconds) < _FEWEST_PACES:
            return ""
        minutes = posts * median(self._seconds) / 60
        if minutes < 1:
            return "less than a minute left"
        if minutes < 90:
            return f"about {_count(round(minutes), 'minute')} left"
        return f"about {_count(round(minutes / 60), 'hour')} left"


def open_review(path: str | os.PathLike[str], role: str = FIRST) -> Review:
    """Open a sample to label it; the file is written with the first verdict.

    :param role: ``FIRST`` or ``SECOND`` reviewer, or ``SETTLE`` for their disagreements.
    :raises InputError: the file cannot be used; the message says where and why.
    :raises MissingExtraError: pyarrow is not installed.
    """
    return Review(open_sheet(path, text=("id", "text")), role)


def describe_verdict(verdict: Verdict | None) -> str:
    """Put a verdict into words."""
    if verdict is None:
        return "no verdict"
    parts = ["violent" if verdict.label else "not violent"]
    parts += [verdict.kind] if verdict.kind else []
    parts += [f"against {', '.join(verdict.targets)}"] if verdict.targets else []
    return ", ".join(parts)


def describe_agreement(agreement: Agreement) -> str:
    """Put an agreement into one sentence."""
    told = (
        f"The reviewers agree on {agreement.agreed:,} of {_count(agreement.posts, 'post')} "
        f"({agreement.share:.1%})"
    )
    if agreement.kappa is None:
        return f"{told}; Cohen's kappa cannot be told, as all have one label."
    told += f"; Cohen's kappa is {agreement.kappa:.2f}"
    if agreement.low is None or agreement.high is None:
        return f"{told}; these labels give it no interval."
    return f"{told}, 95% interval {agreement.low:.2f} to {agreement.high:.2f}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + "s" * (number != 1)


def _label(value: str) -> int | None:
    return _LABELS[value.strip().lower()]


def _targets(value: str) -> tuple[str, ...]:
    return tuple(name for part in value.split(",") if (name := part.strip()))


def _cells(verdict: Verdict | None, role: str) -> dict[str, str]:
    """Return the cells that hold a verdict, empty for none.

    :raises InputError: the verdict is no such.
    """
    if verdict is None:
        return {part + role: "" for part in _PARTS}
    if verdict.label not in (0, 1):
        raise InputError(f"the label is {verdict.label!r}; it must be 0 or 1")
    if verdict.kind and verdict.kind not in KINDS:
        raise InputError(f"the kind is {verdict.kind!r}; it must be one of {', '.join(KINDS)}")
    wrong = [name for name in verdict.targets if name not in TARGETS]
    if wrong:
        raise InputError(f"the target is {wrong[0]!r}; it must be one of {', '.join(TARGETS)}")
    if not verdict.label:
        verdict = Verdict(0)
    values = (str(verdict.label), verdict.kind, ",".join(verdict.targets))
    return {part + role: value for part, value in zip(_PARTS, values, strict=True)}


def _differ(first: Verdict | None, second: Verdict | None) -> bool:
    return first is not None and second is not None and first.label != second.label


def _outcome(first: Verdict | None, second: Verdict | None) -> Verdict | None:
    if first is None or second is None:
        return first or second
    if first.label != second.label:
        return None
    return Verdict(first.label, first.kind or second.kind, first.targets or second.targets)


def _check_cells(sheet: Sheet) -> None:
    """Refuse values that are no verdicts, and an outcome that another tool wrote."""
    for row in range(len(sheet)):
        where = f"{sheet.path}, row {row + 1:,}"
        for ending in (FIRST, SECOND, SETTLE):
            value = sheet.get(row, f"label{ending}")
            if value.strip().lower() not in _LABELS:
                raise InputError(
                    f"{where}, column 'label{ending}' is {value!r:.60}; a label must be 0, 1 or "
                    "empty"
                )
        for ending in (FIRST, SECOND):
            _check_names(sheet, row, f"kind{ending}", KINDS, where)
            _check_names(sheet, row, f"target{ending}", TARGETS, where)
        _check_origin(sheet, row, where)


def _check_names(sheet: Sheet, row: int, column: str, known: Sequence[str], where: str) -> None:
    for name in _targets(sheet.get(row, column)):
        if name not in known:
            listed = ", ".join(known)
            raise InputError(f"{where}, column '{column}' is {name!r:.60}; known are {listed}")


def _check_origin(sheet: Sheet, row: int, where: str) -> None:
    """Refuse an outcome of which no reviewer is known: a new verdict would overwrite it."""
    if sheet.get(row, "label_1") or sheet.get(row, "label_2"):
        return
    for part in _PARTS:
        if sheet.get(row, part):
            raise InputError(
                f"{where} has a value in the column {part!r} that no reviewer of this file gave, "
                f"and reviewing would overwrite it; move it to the column '{part}_1' to take it "
                f"for the first reviewer's, or rename {part!r} to keep it apart"
            )


def _shuffled(sheet: Sheet, rows: Sequence[int], role: str) -> list[int]:
    """Order rows by a hash of all ids, the reviewer and their own id."""
    seed = hashlib.sha256(role.encode())
    for identity in sorted(sheet.get(row, "id") for row in rows):
        seed.update(hashlib.sha256(identity.encode()).digest())

    def place(row: int) -> bytes:
        own = seed.copy()
        own.update(sheet.get(row, "id").encode())
        return own.digest()

    return sorted(rows, key=place)


def _load_kappa() -> Callable[..., Any]:
    try:
        from statsmodels.stats.inter_rater import (  # type: ignore[import-untyped,unused-ignore]
            cohens_kappa,
        )
    except ImportError as error:
        raise MissingExtraError("Agreement", package="statsmodels", extra="host") from error
    kappa: Callable[..., Any] = cohens_kappa
    return kappa


def _agreement(counts: Sequence[Sequence[int]], cohens_kappa: Callable[..., Any]) -> Agreement:
    """Return the agreement in counts of the first one's label by the second one's."""
    import numpy as np

    (neither, second), (first, both) = counts
    posts, agreed = neither + second + first + both, neither + both
    if posts in (neither, both):
        return Agreement(posts, agreed, None, None, None)
    with np.errstate(divide="ignore", invalid="ignore"):  # its tests are not used
        found = cohens_kappa(counts)
    if not found.var_kappa > 1e-12:  # no disagreement, or one reviewer who gave a single label
        return Agreement(posts, agreed, float(found.kappa), None, None)
    low, high = max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp))
    return Agreement(posts, agreed, float(found.kappa), low, high)
