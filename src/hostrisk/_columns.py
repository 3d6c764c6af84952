"""Arrow columns from Python lists, and Python lists from Arrow columns.

``pyarrow.array(list)`` imports pandas wherever that is installed (about 0.3 s and 50 MB), so the
columns are put together from buffers here.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = [
    "build_column",
    "decode_dictionary",
    "is_text",
    "plain_values",
]


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is one of the three that hold plain text."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def build_column(values: Sequence[Any], kind: str) -> pa.Array[Any]:
    """Build an Arrow array from Python values, None for null.

    :param kind: ``string``, ``double``, ``int64``, ``bool``, ``strings`` (lists of strings) or
        ``json`` (any JSON value, kept as its text in Arrow's canonical JSON type).
    """
    import pyarrow as pa

    if kind == "json":
        texts = [None if value is None else _dump(value) for value in values]
        return pa.ExtensionArray.from_storage(pa.json_(), build_column(texts, "string"))
    valid = _validity(values)
    if kind == "string":
        encoded = [b"" if value is None else value.encode() for value in values]
        return _from_buffers(pa.string(), values, [valid, _offsets(encoded), b"".join(encoded)])
    if kind == "strings":
        lists = [value or () for value in values]
        items = build_column(list(chain.from_iterable(lists)), "string")
        parts = [valid, _offsets(lists)]
        return _from_buffers(pa.list_(pa.string()), values, parts, children=[items])
    if kind == "bool":
        return _from_buffers(pa.bool_(), values, [valid, _bits([bool(v) for v in values])])
    numbers = [0 if value is None else value for value in values]
    if kind == "int64":
        return _from_buffers(pa.int64(), values, [valid, array("q", numbers)])
    return _from_buffers(pa.float64(), values, [valid, array("d", numbers)])


def _from_buffers(
    data_type: pa.DataType, values: Sequence[Any], parts: list[Any], **more: Any
) -> pa.Array[Any]:
    import pyarrow as pa

    buffers = [None if part is None else pa.py_buffer(part) for part in parts]
    return pa.Array.from_buffers(data_type, len(values), buffers, **more)


def _offsets(items: Sequence[Any]) -> array[int]:
    return array("i", accumulate(map(len, items), initial=0))


def _validity(values: Sequence[Any]) -> bytes | None:
    if None not in values:
        return None
    return _bits([value is not None for value in values])


def _bits(flags: list[bool]) -> bytes:
    # Arrow packs the first value into the lowest bit, so the last one is the leading digit.
    digits = "".join("1" if flag else "0" for flag in reversed(flags))
    return int(digits or "0", 2).to_bytes((len(flags) + 7) // 8, "little")


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain_values(column: Any) -> list[Any]:
    """Turn a column, an Arrow array or a list, into Python values that CSV and JSON can hold.

    Dates, times and decimals become their Arrow text, JSON columns the values they hold, so that
    nothing depends on pandas or on the precision of Python's own date types.
    """
    if not hasattr(column, "type"):
        return list(column)
    import pyarrow as pa

    data_type = column.type
    if isinstance(data_type, pa.JsonType):
        return [None if text is None else json.loads(text) for text in column.to_pylist()]
    if pa.types.is_dictionary(data_type):
        return plain_values(decode_dictionary(column))
    if pa.types.is_temporal(data_type) or pa.types.is_decimal(data_type):
        return _as_text(column)
    values: list[Any] = column.to_pylist()
    return values


def decode_dictionary(column: Any) -> Any:
    """Write each row's value out, also where Arrow cannot: categories of polars."""
    import pyarrow as pa

    if pa.types.is_string_view(column.type.value_type):
        values = column.dictionary.cast(pa.string())
        column = pa.DictionaryArray.from_arrays(column.indices, values)
    return column.dictionary_decode()


def _as_text(column: pa.Array[Any]) -> list[Any]:
    import pyarrow as pa

    try:
        values: list[Any] = column.cast(pa.string()).to_pylist()
    except pa.ArrowException:  # durations and month intervals have no text form in Arrow
        values = [None if value is None else str(value) for value in column.to_pylist()]
    return values
