"""Moments in time from columns of any type, in microseconds since 1970 in UTC.

Read are Arrow's times and days, ISO 8601 texts, and Unix times, as numbers or as digits, whose
unit follows from their size. A time without a zone is taken for UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hostrisk._columns import is_text, plain_values
from hostrisk.errors import InputError
from hostrisk.host.source.values import (
    NUMBER,
    Found,
    Way,
    bools,
    collect,
    convert_texts,
    filled_texts,
    is_missing,
    spread,
    texts_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hostrisk.host.source.values import Converted

__all__ = ["MOMENT", "check_format", "micros", "read_times"]

MOMENT = pa.timestamp("us", "UTC")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DAY = 86_400 * 1_000_000
# Unix times of the years 1973 to 5138 are below the first in seconds, below the second in
# milliseconds, below the third in microseconds, and nanoseconds above.
_SIZES = (1e11, 1e14, 1e17)
_FAR = 1 << 62  # a moment long past every real one, that still fits in 64 bits
# What Arrow parses and writes alike; the rest of a format is Python's.
_SIMPLE = re.compile(r"([^%]|%[YmdHMSyjbBpI])*")


def micros(moment: datetime) -> int:
    """Count the microseconds since 1970; a moment without a zone is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def check_format(form: str) -> None:
    """Refuse a format of dates that no date can have.

    :raises InputError: says what is wrong with it.
    """
    try:
        datetime.strptime("", form)  # noqa: DTZ007  # nothing is read
    except (ValueError, re.error) as error:
        if "does not match" not in str(error):
            raise InputError(f"the time format {form!r} cannot be used: {error}") from error
    if "%" not in form:
        raise InputError(f"the time format {form!r} has no fields, such as %Y-%m-%d")


def read_times(column: Any, name: str, form: str | None = None) -> Found:
    """Read moments in microseconds since 1970 in UTC.

    :param column: an Arrow array, or a list of Python values.
    :param form: how texts and whole numbers are written, as for ``strptime``; nothing else is
        tried then.
    :raises InputError: the column holds another kind of thing than moments.
    """
    if isinstance(column, list):
        return _from_list(column, form)
    kind, rows = column.type, len(column)
    if column.null_count == rows:
        return Found.nothing(rows)
    if form is not None and pa.types.is_integer(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if is_text(kind):
        texts, places = filled_texts(column)
        return spread(_from_texts(texts, form), places, rows)
    if isinstance(kind, pa.JsonType):
        return _from_list(plain_values(column), form)
    return _from_numbers(column, name)


# --- numbers -------------------------------------------------------------------------------------


def _from_numbers(column: Any, name: str) -> Found:
    kind = column.type
    there = pc.is_valid(column).to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind):
        whole = _integers(column)
        values = whole // 1_000 if kind.unit == "ns" else _scaled(whole, _UNITS[kind.unit])
    elif pa.types.is_date32(kind):
        values = _scaled(_integers(column.cast(pa.int32())), _DAY)
    elif pa.types.is_date64(kind):
        values = _scaled(_integers(column), _UNITS["ms"])
    elif pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        values = _unix(_integers(column))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values, held = _unix_floats(column)
        there = there & ~np.isnan(_floats(column))
        return Found(values, there & held, there & ~held)
    else:
        raise InputError(
            f"column {name!r} holds {kind}, not dates; name the column that holds them"
        )
    return Found(values, there, np.zeros(len(column), dtype=np.bool_))


def _integers(column: Any) -> NDArray[np.int64]:
    whole: NDArray[np.int64] = column.cast(pa.int64()).fill_null(0).to_numpy()
    return whole


def _floats(column: Any) -> NDArray[np.float64]:
    numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
    return np.asarray(numbers, dtype=np.float64)


def _scaled(whole: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    most = _FAR // factor
    return np.clip(whole, -most, most) * factor


def _unix(whole: NDArray[np.int64]) -> NDArray[np.int64]:
    size = np.abs(whole.astype(np.float64))
    seconds, millis, nanos = size < _SIZES[0], size < _SIZES[1], size >= _SIZES[2]
    values = np.where(millis, _scaled(whole, 1_000), np.where(nanos, whole // 1_000, whole))
    return np.where(seconds, _scaled(whole, 1_000_000), values)


def _unix_floats(column: Any) -> Converted:
    numbers = _floats(column)
    held = np.isfinite(numbers)
    numbers = np.where(held, numbers, 0.0)
    size = np.abs(numbers)
    factor = np.select([size < limit for limit in _SIZES], [1e6, 1e3, 1.0], 1e-3)
    return np.clip(np.rint(numbers * factor), -float(_FAR), float(_FAR)).astype(np.int64), held


# --- texts ---------------------------------------------------------------------------------------


def _from_texts(texts: Any, form: str | None) -> Converted:
    if form is not None:
        return _by_format(texts, form)
    return convert_texts(texts, _WAYS, _read_one)


def _iso(kind: Any) -> Callable[[Any], Converted]:
    def convert(texts: Any) -> Converted:
        whole = texts.cast(kind).cast(pa.int64()).to_numpy()
        values = whole // 1_000 if kind.unit == "ns" else whole
        return values, np.ones(len(values), dtype=np.bool_)

    return convert


def _digits(texts: Any) -> Converted:
    whole = texts.cast(pa.int64()).to_numpy()
    return _unix(whole), np.ones(len(whole), dtype=np.bool_)


def _decimals(texts: Any) -> Converted:
    return _unix_floats(texts.cast(pa.float64()))


_CLOCK = r"\d{4}-\d\d-\d\d[ T]\d\d(:\d\d(:\d\d(\.\d{%s})?)?)?"
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"
_WAYS = (
    Way(_CLOCK % "1,6" + _ZONE, _iso(MOMENT)),
    Way(rf"\d{{4}}-\d\d-\d\d|{_CLOCK % '1,6'}", _iso(pa.timestamp("us"))),
    Way(r"-?\d{1,18}", _digits),
    Way(NUMBER, _decimals),
    Way(_CLOCK % "7,9" + _ZONE, _iso(pa.timestamp("ns", "UTC"))),
    Way(_CLOCK % "7,9", _iso(pa.timestamp("ns"))),
)


def _read_one(text: str) -> int | None:
    try:
        # Digits without a sign between them would be a day to Python, and are a time of Unix here.
        return None if text.isdecimal() else micros(datetime.fromisoformat(text))
    except ValueError:
        return None


def _by_format(texts: Any, form: str) -> Converted:
    """Parse in Arrow what comes out the same when written again, the rest in Python."""
    values = np.zeros(len(texts), dtype=np.int64)
    same = np.zeros(len(texts), dtype=np.bool_)
    if _SIMPLE.fullmatch(form):
        parsed = pc.strptime(texts, format=form, unit="s", error_is_null=True)
        again = pc.equal(pc.strftime(parsed, format=form), texts).fill_null(False)
        same = again.to_numpy(zero_copy_only=False)
        values = _scaled(_integers(parsed), 1_000_000)
    left = np.flatnonzero(~same)
    if len(left):
        rest = texts.filter(bools(~same)).to_pylist()
        known = {text: _by_format_one(text, form) for text in set(rest)}
        numbers, held = collect((known[text] for text in rest), len(rest))
        values, same = values.copy(), same.copy()
        values[left], same[left] = numbers, held
    return values, same


def _by_format_one(text: str, form: str) -> int | None:
    try:
        return micros(datetime.strptime(text, form))  # noqa: DTZ007  # without a zone it is UTC
    except ValueError:
        return None


# --- Python values -------------------------------------------------------------------------------


def _from_list(values: list[Any], form: str | None) -> Found:
    direct, held = collect(map(_moment_of, values), len(values))
    others = [None if known else value for value, known in zip(values, held, strict=True)]
    found = read_times(texts_of(others), "", form)
    return Found(np.where(held, direct, found.values), held | found.known, found.bad)


def _moment_of(value: Any) -> int | None:
    if is_missing(value):
        return None
    if isinstance(value, datetime):
        return micros(value)
    if isinstance(value, date):
        return micros(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, np.datetime64):
        return int(value.astype("datetime64[us]").astype(np.int64))
    return None
