"""Score Arrow columns where they lie: no Python string is made of any text.

What is taken: pyarrow arrays and chunked arrays, polars Series, and whatever else offers
``__arrow_c_array__`` or ``__arrow_c_stream__``, of the types string, large_string, string_view,
a dictionary of those, or null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._columns import build_column, decode_dictionary, is_text
from hostrisk.errors import InputError, MissingExtraError
from hostrisk.linear import LinearScorer, in_threads, takes_arrow

try:
    import pyarrow as pa
except ImportError as error:
    raise MissingExtraError("Scoring Arrow data", package="pyarrow") from error

if TYPE_CHECKING:
    from hostrisk.linear import Scorer

__all__ = ["score_column", "text_list"]

_LEAST_ROWS = 4_096


def score_column(
    scorer: Scorer, column: Any, *, threads: int
) -> pa.Array[Any] | pa.ChunkedArray[Any]:
    """Return float64 probabilities, null for null; chunked where a chunked array was given.

    :raises InputError: the column is not text.
    """
    chunks = _text_chunks(column)
    if not (isinstance(scorer, LinearScorer) and takes_arrow()):
        scores = [_score_as_list(scorer, chunk, threads) for chunk in chunks]
    elif threads == 1:
        scores = [_score(scorer, chunk) for chunk in chunks]
    else:
        pieces = [piece for chunk in chunks for piece in _pieces(chunk, threads)]
        scores = in_threads(lambda piece: _score(scorer, piece), pieces, threads)
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array(scores, pa.float64())
    return scores[0] if len(scores) == 1 else pa.concat_arrays(scores or [_nothing()])


def text_list(column: Any) -> list[str | None]:
    """Return the texts of an Arrow column.

    :raises InputError: the column is not text.
    """
    return [text for chunk in _text_chunks(column) for text in chunk.to_pylist()]


def _text_chunks(column: Any) -> list[pa.Array[Any]]:
    given = _import(column)
    chunks = given.chunks if isinstance(given, pa.ChunkedArray) else [given]
    return [_as_text(chunk) for chunk in chunks]


def _nothing() -> pa.Array[Any]:
    return pa.nulls(0, pa.float64())


def _import(column: Any) -> pa.Array[Any] | pa.ChunkedArray[Any]:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    try:
        if hasattr(column, "__arrow_c_stream__"):
            return pa.chunked_array(column)
        array: pa.Array[Any] = pa.array(column)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        kind = type(column).__name__
        raise InputError(f"{kind} cannot be read as one Arrow column: {reason}") from error
    return array


def _as_text(array: pa.Array[Any]) -> pa.Array[Any]:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _as_text(decode_dictionary(array))
    if pa.types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if not is_text(kind):
        advice = "; give one of its columns" if pa.types.is_struct(kind) else ""
        raise InputError(f"the Arrow column holds {kind}, not text{advice}")
    return array


def _pieces(array: pa.Array[Any], threads: int) -> list[pa.Array[Any]]:
    size = max(_LEAST_ROWS, -(-len(array) // (4 * threads)))
    if len(array) <= size:
        return [array]
    return [array.slice(start, size) for start in range(0, len(array), size)]


def _score(scorer: LinearScorer, array: pa.Array[Any]) -> pa.Array[Any]:
    data = scorer.score_arrow(array) if len(array) else b""
    valid = None if array.null_count == 0 else array.is_valid().buffers()[1]
    return pa.Array.from_buffers(pa.float64(), len(array), [valid, pa.py_buffer(data)])


def _score_as_list(scorer: Scorer, array: pa.Array[Any], threads: int) -> pa.Array[Any]:
    return build_column(scorer.score_list(array.to_pylist(), threads=threads), "double")
