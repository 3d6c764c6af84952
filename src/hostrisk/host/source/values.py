"""Names, numbers and labels from columns of any type, with what cannot be read set apart.

Arrow converts a column at once where every value fits. Where one does not, values that look alike
are converted together, in halves where they fail, so that few are read one by one.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hostrisk._columns import build_column, is_text, plain_values
from hostrisk.errors import InputError
from hostrisk.labeled import UNKNOWN, label_of
from hostrisk.tables import distinct, one_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "NUMBER", "Converted", "Found", "Way", "blank", "bools", "collect", "convert_texts",
    "filled_texts", "is_missing", "make_array", "read_labels", "read_names", "read_views",
    "spread", "texts_of", "unwrap",
]  # fmt: skip

NUMBER = r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,3})?"

_NOTHING = ("", "null", "NULL", "none", "None", "nan", "NaN", "NaT", "n/a", "N/A", "\\N")
_NOTHING_DATES = ("0000-00-00", "0000-00-00 00:00:00")  # how MySQL writes that there is none
_SHORT = 32
_LARGEST = float(1 << 63)


class Found(NamedTuple):
    """Values of a column, shape (rows,): each is known, missing, or there but unreadable (bad)."""

    values: NDArray[np.int64]
    known: NDArray[np.bool_]
    bad: NDArray[np.bool_]

    @classmethod
    def nothing(cls, rows: int) -> Found:
        """Return as many missing values."""
        no = np.zeros(rows, dtype=np.bool_)
        return cls(np.zeros(rows, dtype=np.int64), no, no.copy())


Converted = tuple["NDArray[np.int64]", "NDArray[np.bool_]"]  # values, and which of them hold


class Way(NamedTuple):
    """A way to write a number or a moment."""

    pattern: str  # a regular expression that RE2 and Python read alike
    convert: Callable[[Any], Converted]  # raises ArrowInvalid where a text does not fit


def unwrap(column: Any) -> Any:
    """Make one plain array of a column; a list stays one.

    Types of databases that Arrow only knows by name, as PostgreSQL's numeric, become their text.
    """
    if isinstance(column, list):
        if all(isinstance(value, str | None) for value in column):
            return _build_texts(column)
        return column
    column = one_array(column)
    foreign = isinstance(column.type, pa.BaseExtensionType)
    if foreign and not isinstance(column.type, pa.JsonType) and is_text(column.storage.type):
        return column.storage
    return column


def _build_texts(values: list[str | None]) -> Any:
    try:
        return build_column(values, "string")
    except UnicodeEncodeError:
        return values  # whoever reads it can name the column


def is_missing(value: Any) -> bool:
    """Tell whether a Python value stands for none: None, NaN, and the nulls of pandas and numpy."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and value != value  # noqa: PLR0124


def make_array(kind: pa.DataType, values: NDArray[Any], known: NDArray[np.bool_]) -> pa.Array[Any]:
    """Build an Arrow array from numbers, null where not known, without pandas."""
    valid = None if known.all() else _bits(known)
    return pa.Array.from_buffers(kind, len(values), [valid, _buffer(values)])


def _buffer(values: Any) -> pa.Buffer:
    return pa.py_buffer(values)


def _bits(flags: NDArray[np.bool_]) -> pa.Buffer:
    return _buffer(np.packbits(flags, bitorder="little"))


def bools(flags: NDArray[np.bool_]) -> pa.Array[Any]:
    """Turn flags into an Arrow array."""
    return pa.Array.from_buffers(pa.bool_(), len(flags), [None, _bits(flags)])


def _flags(column: pa.Array[Any]) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = column.fill_null(True).to_numpy(zero_copy_only=False)
    return flags


# --- names ---------------------------------------------------------------------------------------


def blank(texts: Any) -> NDArray[np.bool_]:
    """Tell which texts are null, empty or nothing but blanks."""
    empty = pc.equal(pc.binary_length(texts), pa.scalar(0))
    return _flags(pc.or_(empty, pc.utf8_is_space(texts)))


def read_names(column: Any, name: str) -> Any:
    """Give a column of names or ids as an Arrow array of strings: numbers as they are written.

    :raises InputError: a name holds half a character.
    """
    if not isinstance(column, list):
        kind = column.type
        if is_text(kind) or pa.types.is_integer(kind):
            return column.cast(pa.string())
        if pa.types.is_floating(kind):
            column = _whole(column)
        column = column.to_pylist() if pa.types.is_floating(column.type) else plain_values(column)
    try:
        return build_column([_name_of(value) for value in column], "string")
    except UnicodeEncodeError as error:
        raise InputError(f"column {name!r} holds half a character, which no text has") from error


def _whole(column: pa.Array[Any]) -> Any:
    """Undo what pandas does to whole numbers beside a null, where that is all it did."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def _name_of(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return str(int(value))
    return str(value)


# --- numbers -------------------------------------------------------------------------------------


def filled_texts(texts: pa.Array[Any]) -> tuple[pa.Array[Any], NDArray[np.int64]]:
    """Return the texts that hold something, trimmed, and their places.

    The words that databases and frames write for null, and MySQL's day zero, hold nothing.
    """
    texts = pc.utf8_trim_whitespace(texts.cast(pa.string()))
    words = build_column([*_NOTHING, *_NOTHING_DATES], "string")
    nothing = _flags(pc.or_kleene(pc.is_null(texts), pc.is_in(texts, value_set=words)))
    places = np.flatnonzero(~nothing)
    return (texts if len(places) == len(texts) else texts.filter(bools(~nothing))), places


def convert_texts(texts: Any, ways: Sequence[Way], one: Callable[[str], int | None]) -> Converted:
    """Convert texts by one way if it fits all of them, or else each by the way it looks like.

    :param one: reads a single text that no way fits; None where it cannot.
    """
    # The first text tells which way to try: Arrow words an error for each text that does not fit.
    first = texts[0].as_py() if len(texts) else ""
    for way in ways:
        if re.fullmatch(way.pattern, first, re.ASCII):
            with suppress(pa.ArrowInvalid):
                return way.convert(texts)
            break
    values, held = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.bool_)
    places = np.arange(len(texts))
    for way in ways:
        alike = _flags(pc.match_substring_regex(texts, f"^(?:{way.pattern})$"))
        chosen, others = bools(alike), bools(~alike)
        values[places[alike]], held[places[alike]] = _in_halves(texts.filter(chosen), way, one)
        texts, places = texts.filter(others), places[~alike]
    values[places], held[places] = collect(map(one, texts.to_pylist()), len(texts))
    return values, held


def _in_halves(texts: Any, way: Way, one: Callable[[str], int | None]) -> Converted:
    """Convert texts that look alike; where one fails, as 30 February, its neighbors are not."""
    try:
        return way.convert(texts)
    except pa.ArrowInvalid:
        if len(texts) <= _SHORT:
            return collect(map(one, texts.to_pylist()), len(texts))
    half = len(texts) // 2
    first, second = (_in_halves(part, way, one) for part in (texts[:half], texts[half:]))
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def texts_of(values: list[Any]) -> pa.Array[Any]:
    """Write Python values as texts, null where missing."""
    texts = [None if is_missing(value) else str(value) for value in values]
    try:
        return build_column(texts, "string")
    except UnicodeEncodeError:  # half a character, which no number and no date has
        whole = [text and text.encode(errors="replace").decode() for text in texts]
        return build_column(whole, "string")


def collect(values: Iterable[int | None], rows: int) -> Converted:
    """Gather whole numbers that are read one by one; None does not hold."""
    found = list(values)
    held = np.fromiter((value is not None for value in found), dtype=np.bool_, count=rows)
    numbers = np.fromiter((value or 0 for value in found), dtype=np.int64, count=rows)
    return numbers, held


def spread(converted: Converted, places: NDArray[np.int64], rows: int) -> Found:
    """Put the values of some rows back among all rows."""
    found = Found.nothing(rows)
    values, held = converted
    found.values[places] = np.where(held, values, 0)
    found.known[places], found.bad[places] = held, ~held
    return found


def read_views(column: Any) -> Found:
    """Read whole numbers from 0 up; anything else that is there is bad."""
    if isinstance(column, list):
        return read_views(texts_of(column))
    kind, rows = column.type, len(column)
    if is_text(kind):
        texts, places = filled_texts(column)
        return spread(convert_texts(texts, _VIEWS, _no_views), places, rows)
    there = ~_flags(pc.is_null(column))
    if pa.types.is_uint64(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
        return _from_floats(numbers)
    if not pa.types.is_integer(kind):
        if isinstance(kind, pa.JsonType):
            return read_views(texts_of(plain_values(column)))
        return Found(np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.bool_), there)
    values = column.cast(pa.int64()).fill_null(0).to_numpy()
    good = there & (values >= 0)
    return Found(np.where(good, values, 0), good, there & ~good)


def _views_from_texts(texts: pa.Array[Any]) -> Converted:
    try:
        values = texts.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        found = _from_floats(texts.cast(pa.float64()).to_numpy())
        return found.values, found.known
    return values, values >= 0


_VIEWS = (Way(NUMBER, _views_from_texts),)


def _no_views(_: str) -> None:
    return None


def _from_floats(numbers: NDArray[np.float64]) -> Found:
    there = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        good = there & (numbers >= 0) & (numbers < _LARGEST) & (numbers == np.floor(numbers))
    return Found(np.where(good, numbers, 0).astype(np.int64), good, there & ~good)


# --- labels --------------------------------------------------------------------------------------


def read_labels(column: Any) -> Found:
    """Read labels of 0 and 1; -1 and nothing are missing, anything else is bad."""
    values, codes = distinct(column)
    found = [UNKNOWN if is_missing(value) else label_of(value) for value in values]
    numbers, held = collect(found, len(found))
    known = held & (numbers != UNKNOWN)
    return Found(np.where(known, numbers, 0)[codes], known[codes], ~held[codes])
