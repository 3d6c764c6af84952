"""Read labeled texts from wherever people keep them, as batches of one shape.

1. A source becomes a stream of tables: a file through files.py, a frame through its Arrow stream,
   a dataset through its own batches, rows through lists.
2. Of each table the columns asked for are taken: the text as an Arrow array of strings, the label
   as 1, 0 or -1 (unknown), the group as a name.
3. Whatever does not fit is one InputError that names the column, and for a value its row.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from hostrisk._columns import build_column, decode_dictionary, is_text, plain_values
from hostrisk.errors import InputError, MissingExtraError
from hostrisk.files import read_batches, table_format

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NO_GROUP", "UNKNOWN", "LabeledBatch", "check_sample", "describe_source", "read_labeled",
    "read_sample",
]  # fmt: skip

UNKNOWN = -1
NO_GROUP = "(none)"

_BATCH_ROWS = 16_384
_WORDS = {"1": 1, "true": 1, "1.0": 1, "0": 0, "false": 0, "0.0": 0}
_WORDS |= dict.fromkeys(("", "-1", "-1.0"), UNKNOWN)
_NUMBERS = {1: 1, 0: 0, -1: UNKNOWN}
_DATASET_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_DEFAULT_SPLIT = "test"


class LabeledBatch(NamedTuple):
    """Some rows: texts (null where missing), labels (1, 0, -1 for unknown) and group names."""

    text: pa.Array[Any]
    labels: NDArray[np.int8]
    groups: list[str] | None


_Table = Mapping[str, Any]  # column name to Arrow array, chunked array or list


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


def _open(source: Any, names: _Names, split: str | None) -> Iterator[_Table]:
    named = isinstance(source, str) and not _means_file(source)
    if named:
        source = _load_dataset(source, split or _DEFAULT_SPLIT)
    elif _is_dataset_dict(source):
        source = _choose_split(source, split or _DEFAULT_SPLIT)
    elif split is not None:
        raise InputError(
            f"split={split!r} is only for datasets; {describe_source(source)} has none"
        )
    if isinstance(source, str | os.PathLike):
        return _read_file(source, names)
    if hasattr(source, "with_format") and hasattr(source, "iter"):
        return _read_dataset(source, names)
    if (pandas := sys.modules.get("pandas")) and isinstance(source, pandas.DataFrame):
        return _read_frame(source, names)
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return _read_arrow(source, names)
    if isinstance(source, Iterable) and not isinstance(source, Mapping | bytes):
        return _read_rows(source, names)
    raise InputError(
        f"{_kind(source)} cannot be read as labeled texts; give a path, the name of a dataset, a "
        "DataFrame, an Arrow table, a datasets.Dataset or a list of dicts"
    )


def _means_file(source: str | os.PathLike[str]) -> bool:
    if not isinstance(source, str) or os.path.exists(source):
        return True
    try:
        table_format(source)
    except InputError:
        return not _DATASET_NAME.fullmatch(source)
    return True


def _kind(source: Any) -> str:
    return f"an object of type {type(source).__name__}"


def _read_file(path: str | os.PathLike[str], names: _Names) -> Iterator[_Table]:
    for batch in read_batches(path, names.all, text=(names.text,)):
        yield dict(zip(names.all, batch.columns, strict=True))


def _read_arrow(source: Any, names: _Names) -> Iterator[_Table]:
    try:
        if hasattr(source, "__arrow_c_stream__"):
            batches: Any = pa.RecordBatchReader.from_stream(source)
            found = batches.schema.names
        else:
            batches = [pa.record_batch(source)]
            found = batches[0].schema.names
        _check_columns(found, names, type(source).__name__)
        for batch in batches:
            yield {name: _checked(batch.column(name), name) for name in names.all}
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"{_kind(source)} cannot be read as a table: {_reason(error)}") from error


def _checked(column: Any, name: str) -> Any:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"column {name!r} is damaged: {_reason(error)}") from error
    return column


def _read_frame(frame: Any, names: _Names) -> Iterator[_Table]:
    _check_columns(list(frame.columns), names, "the DataFrame")
    for start in range(0, max(len(frame), 1), _BATCH_ROWS):
        rows = frame.iloc[start : start + _BATCH_ROWS]
        yield {name: _series_column(rows[name]) for name in names.all}


def _series_column(series: Any) -> Any:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Values of several types: taken one by one, so that an error can name the row.
        return series.astype(object).where(series.notna(), None).tolist()


def _read_dataset(dataset: Any, names: _Names) -> Iterator[_Table]:
    known = getattr(dataset, "column_names", None)
    if known is not None:
        _check_columns(known, names, "the dataset")
        dataset = dataset.select_columns(names.all)
    # A stream without declared features would guess Arrow types row by row, and fail at a null.
    form = None if getattr(dataset, "features", None) is None else "arrow"
    for table in dataset.with_format(form).iter(batch_size=_BATCH_ROWS):
        _check_columns(table.column_names if form else list(table), names, "the dataset")
        yield {name: table[name] for name in names.all}


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
        raise InputError(f"{problem}: {_reason(error)}") from error


def _read_rows(source: Iterable[Any], names: _Names) -> Iterator[_Table]:
    rows, start = iter(source), 0
    while chunk := list(islice(rows, _BATCH_ROWS)):
        for at, row in enumerate(chunk, start + 1):
            if not isinstance(row, Mapping):
                raise InputError(f"row {at} is {_kind(row)}, not a dict of column names to values")
            _check_columns(list(row), names, f"row {at}")
        yield {name: [row[name] for row in chunk] for name in names.all}
        start += len(chunk)


def _check_columns(found: list[Any], names: _Names, where: str) -> None:
    for name in names.all:
        if name not in found:
            there = ", ".join(repr(other) for other in found) or "none"
            raise InputError(f"{where} has no column {name!r}; its columns are {there}")
        if found.count(name) > 1:
            raise InputError(f"{where} has more than one column named {name!r}")


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


# --- columns -------------------------------------------------------------------------------------


def _read_table(table: _Table, names: _Names, before: int) -> LabeledBatch:
    labels = _labels(table[names.label], names.label, before)
    groups = None if names.group is None else _groups(table[names.group])
    return LabeledBatch(_text(table[names.text], names.text, before), labels, groups)


def _text(column: Any, name: str, before: int) -> Any:
    if isinstance(column, list):
        return _text_from_list(column, name, before)
    column = _one_array(column)
    if column.null_count == len(column):  # of any type: that of a column without values is a guess
        return pa.nulls(len(column), pa.string())
    if not is_text(column.type):
        raise InputError(f"column {name!r} holds {column.type}, not text")
    return column


def _text_from_list(values: list[Any], name: str, before: int) -> pa.Array[Any]:
    for row, value in enumerate(values, before + 1):
        if not isinstance(value, str | None):
            raise InputError(f"row {row}, column {name!r} is {_kind(value)}, not text")
    try:
        return build_column(values, "string")
    except UnicodeEncodeError as error:
        raise InputError(f"column {name!r} holds half a character, which no text has") from error


def _labels(column: Any, name: str, before: int) -> NDArray[np.int8]:
    values, codes = _distinct(column)
    known = np.empty(len(values), dtype=np.int8)
    for code, value in enumerate(values):
        label = _label_of(value)
        if label is None:
            row = before + int(np.flatnonzero(codes == code)[0]) + 1
            raise InputError(
                f"row {row}, column {name!r} is {_shown(value)}; a label must be 0, 1, true or "
                "false, or -1 or empty where it is not known"
            )
        known[code] = label
    return known[codes]


def _label_of(value: Any) -> int | None:
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
    values, codes = _distinct(column)
    names = [NO_GROUP if value is None or value == "" else str(value) for value in values]
    return [names[code] for code in codes]


def _distinct(column: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Give the distinct values of a column, null as None, and each row's place among them."""
    if not isinstance(column, list):
        column = _one_array(column)
        try:
            encoded = column.dictionary_encode()
        except pa.ArrowNotImplementedError:  # lists, records, JSON
            column = plain_values(column)
        else:
            values = encoded.dictionary.to_pylist()
            return [*values, None], encoded.indices.fill_null(len(values)).to_numpy()
    places: dict[Any, int] = {}
    values = []
    codes = np.empty(len(column), dtype=np.int64)
    for row, value in enumerate(column):
        codes[row] = place = places.setdefault((type(value), repr(value)), len(values))
        if place == len(values):
            values.append(value)
    return values, codes


def _one_array(column: Any) -> Any:
    """Join chunks, and undo an encoding as a dictionary, which may hold values no row has."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return decode_dictionary(column) if pa.types.is_dictionary(column.type) else column
