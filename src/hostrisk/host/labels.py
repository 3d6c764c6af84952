"""Labels that people gave to reviewed posts, and how the posts were drawn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk._columns import plain_values
from hostrisk.errors import InputError
from hostrisk.host.prevalence import Reviewed
from hostrisk.labeled import UNKNOWN, label_of
from hostrisk.tables import Wanted, read_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostrisk.host.tally import Kept

__all__ = ["Label", "Labels", "read_labels", "reviewed_sample"]

PLAIN, STRATIFIED = "plain random", "stratified"
_NAMES = ("id", "stratum", "host", "kind", "target")
_OPTIONAL = ("inclusion_probability", "stratum", "host", "kind", "target")
_LEAST_CHANCE = 1e-12  # of a smaller one nothing can be said, not even by how much it is wrong
# Strata of a sample that names none: posts whose chances differ by less than this factor.
_ONE_STRATUM = 1.5


class Label(NamedTuple):
    """What people found of a post; kind and target None where they did not say."""

    violent: bool
    kind: str | None
    target: str | None
    probability: float | None
    stratum: str | None


class Labels(NamedTuple):
    """Labels by (host, id), the host None where the table names none.

    ``drawn`` counts the posts of each stratum with those that were drawn and not labeled,
    ``labeled`` those that were labeled.
    """

    by_post: dict[tuple[str | None, str], Label]
    drawn: Counter[str]
    labeled: Counter[str]
    unlabeled: int

    @classmethod
    def none(cls) -> Labels:
        """Return what is known where nobody labeled anything."""
        return cls({}, Counter(), Counter(), 0)

    def stands_for(self) -> float:
        """Return how many posts all rows of the sample stand for, those without a label too."""
        chances = {label.stratum: label.probability for label in self.by_post.values()}
        return sum(
            count / (chances[stratum] or 1.0)
            for stratum, count in self.drawn.items()
            if stratum in chances
        )

    def find(self, post: Kept) -> Label | None:
        """Return the label of a post, None where nobody reviewed it."""
        return self.by_post.get((post.host, post.id)) or self.by_post.get((None, post.id))


def read_labels(source: Any, *, several_hosts: bool = False) -> Labels:
    """Read a table of reviewed posts.

    It needs the columns ``id`` and ``label``; ``inclusion_probability`` and ``stratum`` say how the
    posts were drawn (without them, as a plain random sample), ``host``, ``kind`` and ``target``
    are welcome. A row without a label counts as drawn and not reviewed.

    :param several_hosts: whether a column of the posts names their hosts. If none does, the name
        of the only host in the labels tells nothing, and may differ.
    :raises InputError: the table cannot be read, holds an impossible value, or no label at all.
    """
    labels = Labels.none()
    unlabeled, row = 0, 0
    wanted = Wanted(["id", "label"], "id", list(_OPTIONAL))
    for table in read_tables(source, wanted, what="labels"):
        columns = {name: _values(name, column) for name, column in table.items()}
        for values in zip(*columns.values(), strict=True):
            row += 1
            unlabeled += not _take_row(labels, dict(zip(columns, values, strict=True)), row)
    if not labels.by_post:
        raise InputError(
            "no row of the labels has a label; fill the column 'label' with 0 and 1 first, by "
            "hostrisk review or any other tool"
        )
    by_post = labels.by_post
    _check_chances(by_post)
    if not several_hosts and len({host for host, _ in by_post}) == 1:
        by_post = {(None, ident): label for (_, ident), label in by_post.items()}
    return labels._replace(by_post=by_post, unlabeled=unlabeled)


def _values(name: str, column: Any) -> list[Any]:
    """Return a column's values, names and ids written as those of the posts are."""
    from hostrisk.host.source.values import read_names, unwrap

    if name in _NAMES:
        values: list[Any] = read_names(unwrap(column), name).to_pylist()
        return values
    return plain_values(column)


def _check_chances(by_post: dict[tuple[str | None, str], Label]) -> None:
    missing = [ident for (_, ident), label in by_post.items() if label.probability is None]
    if missing and len(missing) < len(by_post):
        raise InputError(
            f"the label of the post {missing[0]!r:.80} has no inclusion probability, while others "
            "have one; give all of them, or none for a plain random sample"
        )


def _take_row(labels: Labels, row: dict[str, Any], number: int) -> bool:
    """Take in a row; False where it has no label."""
    where = f"labels, row {number}"
    if not (row["id"] or "").strip():
        raise InputError(f"{where} has no id")
    value = label_of(row["label"])
    if value is None:
        raise InputError(f"{where}: the label is {row['label']!r:.60}; it must be 0 or 1, or empty")
    probability = _probability(row.get("inclusion_probability"), where)
    stratum = _named(row.get("stratum")) or _stratum_of(probability)
    labels.drawn[stratum] += 1
    if value == UNKNOWN:
        return False
    key = (_named(row.get("host")), row["id"])
    if key in labels.by_post:
        raise InputError(f"{where}: the post {key[1]!r:.80} is there twice; keep one of its labels")
    kind, target = _named(row.get("kind")), _named(row.get("target"))
    labels.by_post[key] = Label(bool(value), kind, target, probability, stratum)
    labels.labeled[stratum] += 1
    return True


def _probability(value: Any, where: str) -> float | None:
    from hostrisk.host.source.values import is_missing

    if is_missing(value) or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not _LEAST_CHANCE <= number <= 1:
        raise InputError(
            f"{where}: the inclusion probability is {value!r:.60}; it must be above 0 and at most 1"
        )
    return number


def _named(value: str | None) -> str | None:
    return value or None


def _stratum_of(probability: float | None) -> str:
    if probability is None:
        return "all"
    return f"chance {round(float(np.log(probability) / np.log(_ONE_STRATUM)))}"


def reviewed_sample(
    posts: Sequence[Kept], labels: Labels, *, population: int, texts: int, views: bool = False
) -> Reviewed:
    """Return reviewed posts of one host as arrays.

    Each stands for 1 / probability posts, and with the others of its stratum for those that were
    drawn and have no label. Without probabilities each stands for the same number of posts; so it
    does where all are 1 and yet not all posts were drawn.

    :param population: how many posts the host has; ``texts`` of them have a text.
    """
    found = [label for post in posts if (label := labels.find(post)) is not None]
    names = [label.stratum or "all" for label in found]
    chances = {label.probability for label in found}
    drawn = np.array([labels.drawn[name] / labels.labeled[name] for name in names])
    complete = chances <= {None, 1.0} and round(drawn.sum()) >= texts
    uniform = len(chances) <= 1 and not complete
    weight = (
        np.full(len(found), population / max(len(found), 1))
        if uniform
        else drawn / [label.probability or 1.0 for label in found]
    )
    return Reviewed(
        np.array([label.violent for label in found], dtype=np.bool_),
        np.array([post.score for post in posts], dtype=np.float64),
        weight,
        np.unique(np.array(names, dtype=object), return_inverse=True)[1].astype(np.int64)
        if names else np.zeros(0, dtype=np.int64),
        np.array([float(post.views or 0) if views else 1.0 for post in posts], dtype=np.float64),
        uniform,
    )  # fmt: skip
