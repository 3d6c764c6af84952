"""Read labeled texts from wherever people keep them, as batches of one shape.

1. A source becomes a stream of tables through tables.py; the name of a dataset is loaded first.
2. Of each table the columns asked for are taken: the text as an Arrow array of strings, the label
   as 1, 0 or -1 (unknown), the group as a name.
3. Whatever does not fit is one InputError that names the column, and for a value its row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.errors import InputError, MissingExtraError
from hostrisk.files import table_format
from hostrisk.tables import Table, Wanted, distinct, read_tables, reason, text_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "NO_GROUP", "UNKNOWN", "LabeledBatch", "check_sample", "describe_source", "label_of",
    "read_labeled", "read_sample",
]  # fmt: skip

UNKNOWN = -1
NO_GROUP = "(none)"

_BATCH_ROWS = 16_384
_WORDS = {"1": 1, "true": 1, "1.0": 1, "0": 0, "false": 0, "0.0": 0}
_WORDS |= dict.fromkeys(("", "-1", "-1.0"), UNKNOWN)
_NUMBERS = {1: 1, 0: 0, -1: UNKNOWN}
_DATASET_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_DEFAULT_SPLIT = "test"
_SOURCES = (
    "labeled texts; give a path, the name of a dataset, a DataFrame, an Arrow table, a "
    "datasets.Dataset or a list of dicts"
)


class LabeledBatch(NamedTuple):
    """Some rows: texts (null where missing), labels (1, 0, -1 for unknown) and group names."""

    text: pa.Array[Any]
    labels: NDArray[np.int8]
    groups: list[str] | None


class _Names(NamedTuple):
    """The columns asked for."""

    text: str
    label: str
    group: str | None

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys(name for name in self if name is not None))


def read_labeled(
    source: Any, *, text: str, label: str, group: str | None = None, split: str | None = None
) -> Iterator[LabeledBatch]:
    """Read labeled texts in batches, in order, all rows included.

    :param source: a path, the name of a dataset, a DataFrame, anything with an Arrow stream, a
        ``datasets.Dataset`` or ``DatasetDict``, or rows as dicts.
    :param split: split of a named dataset or ``DatasetDict``; ``test`` if not given.
    :raises InputError: the source, a column or a label cannot be used.
    :raises MissingExtraError: a named dataset, but the package datasets is not installed.
    """
    names = _Names(text, label, group)
    row = 0
    for table in _open(source, names, split):
        batch = _read_table(table, names, row)
        row += len(batch.labels)
        yield batch


def read_sample(source: Any, *, text: str, label: str) -> tuple[list[str], list[int]]:
    """Return the texts and labels of a table, without the rows that lack either.

    :raises InputError: the table cannot be read, or a label is neither 0, 1 nor unknown.
    """
    texts: list[str] = []
    labels: list[int] = []
    for batch in read_labeled(source, text=text, label=label):
        for post, known in zip(batch.text.to_pylist(), batch.labels.tolist(), strict=True):
            if post is not None and known != UNKNOWN:
                texts.append(post)
                labels.append(known)
    return texts, labels


def check_sample(texts: Sequence[str], labels: Sequence[int]) -> None:
    """Refuse what is not one label of 0 or 1 for each text.

    :raises InputError: names the first place that is wrong.
    """
    if len(texts) != len(labels):
        raise InputError(f"there are {len(labels):,} labels for {len(texts):,} texts")
    for at, (text, label) in enumerate(zip(texts, labels, strict=True)):
        if not isinstance(text, str):
            raise InputError(f"item {at} is of type {type(text).__name__}, not a str")
        if label not in (0, 1):
            raise InputError(f"the label of item {at} is {label!r:.60}; it must be 0 or 1")


def describe_source(source: Any, split: str | None = None) -> str:
    """Name a source for a title: the file's or dataset's name, or what kind of object it is."""
    if isinstance(source, str | os.PathLike):
        if _means_file(source):
            return Path(source).name
        return f"{source} ({split or _DEFAULT_SPLIT})"
    return f"{type(source).__name__} in memory"


# --- sources -------------------------------------------------------------------------------------


def _open(source: Any, names: _Names, split: str | None) -> Iterator[Table]:
    named = isinstance(source, str) and not _means_file(source)
    if named:
        source = _load_dataset(source, split or _DEFAULT_SPLIT)
    elif _is_dataset_dict(source):
        source = _choose_split(source, split or _DEFAULT_SPLIT)
    elif split is not None:
        raise InputError(
            f"split={split!r} is only for datasets; {describe_source(source)} has none"
        )
    return read_tables(source, Wanted(names.all, names.text), what=_SOURCES, batch_rows=_BATCH_ROWS)


def _means_file(source: str | os.PathLike[str]) -> bool:
    if not isinstance(source, str) or os.path.exists(source):
        return True
    try:
        table_format(source)
    except InputError:
        return not _DATASET_NAME.fullmatch(source)
    return True


def _is_dataset_dict(source: Any) -> bool:
    return isinstance(source, Mapping) and any(hasattr(v, "with_format") for v in source.values())


def _choose_split(splits: Mapping[str, Any], split: str) -> Any:
    if split not in splits:
        there = ", ".join(map(repr, splits))
        raise InputError(f"there is no split {split!r}; the dataset's splits are {there}")
    return splits[split]


def _load_dataset(name: str, split: str) -> Any:
    try:
        import datasets  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        what = f"{name!r} is no file; loading it as a dataset"
        raise MissingExtraError(what, package="datasets", extra="train") from error
    try:
        return datasets.load_dataset(name, split=split)
    except Exception as error:  # whatever a remote dataset, its parser or the network can raise
        problem = f"{name!r} is no file, and its split {split!r} cannot be loaded as a dataset"
        raise InputError(f"{problem}: {reason(error)}") from error


# --- columns -------------------------------------------------------------------------------------


def _read_table(table: Table, names: _Names, before: int) -> LabeledBatch:
    labels = _labels(table[names.label], names.label, before)
    groups = None if names.group is None else _groups(table[names.group])
    return LabeledBatch(text_column(table[names.text], names.text, before), labels, groups)


def _labels(column: Any, name: str, before: int) -> NDArray[np.int8]:
    values, codes = distinct(column)
    known = np.empty(len(values), dtype=np.int8)
    for code, value in enumerate(values):
        label = label_of(value)
        if label is None:
            row = before + int(np.flatnonzero(codes == code)[0]) + 1
            raise InputError(
                f"row {row}, column {name!r} is {_shown(value)}; a label must be 0, 1, true or "
                "false, or -1 or empty where it is not known"
            )
        known[code] = label
    return known[codes]


def label_of(value: Any) -> int | None:
    """Give 1, 0 or -1 for unknown; None for what is no label."""
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    if not isinstance(value, Number | np.bool_):
        return None
    number: Any = value
    if number != number:  # NaN, the null of pandas  # noqa: PLR0124
        return UNKNOWN
    return _NUMBERS.get(number)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _groups(column: Any) -> list[str]:
    values, codes = distinct(column)
    names = [NO_GROUP if value is None or value == "" else str(value) for value in values]
    return [names[code] for code in codes]
