"""How a source of posts calls its columns: by default, by options, or by a TOML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk._toml import read_toml
from hostrisk.errors import InputError

if TYPE_CHECKING:
    import os

__all__ = [
    "NEEDED", "OPTIONAL", "Columns", "IfThere", "check_columns", "choose_columns", "load_columns",
]  # fmt: skip

NEEDED = ("text", "time", "id")
OPTIONAL = ("host", "url", "views", "reported", "removed", "label")


class IfThere(str):
    """The name of a column that is used where the source has it, and not missed elsewhere."""

    __slots__ = ()


class Columns(NamedTuple):
    """How a source calls its columns; None for one that is not to be read.

    ``text``, ``time`` (when a post was made) and ``id`` must exist, and so must every other column
    that is named as a plain ``str``; one named by ``IfThere``, as four are by default, need not.
    ``time_format`` says how texts and whole numbers in the three columns of times are written, in
    the signs of ``strptime``; without it they are ISO 8601 or Unix times.
    """

    text: str = "text"
    time: str = "created_at"
    id: str = "id"
    host: str | None = None
    url: str | None = IfThere("url")
    views: str | None = IfThere("views")
    reported: str | None = IfThere("reported_at")
    removed: str | None = IfThere("removed_at")
    label: str | None = None
    time_format: str | None = None


def load_columns(path: str | os.PathLike[str]) -> Columns:
    """Read the names of columns from the table ``[columns]`` of a TOML file.

    A key left out keeps its default; ``false`` says that an optional column is not to be read.

    :raises InputError: the file cannot be read, or holds an unknown key or no name for one.
    """
    values = read_toml(path, InputError)
    table = values.pop("columns", None)
    if not isinstance(table, dict):
        raise InputError(f'{path} has no table [columns] with lines such as text = "body"')
    _refuse_unknown(f"{path}", values, ("columns",))
    _refuse_unknown(f"{path}, table [columns],", table, Columns._fields)
    names = {key: _checked_name(path, key, value) for key, value in table.items()}
    return check_columns(Columns(**names))


def _refuse_unknown(where: str, values: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in values:
        if key not in known:
            raise InputError(f"{where} has the unknown key {key!r}; known are {', '.join(known)}")


def _checked_name(path: str | os.PathLike[str], key: str, value: Any) -> Any:
    if value is False and key not in NEEDED:
        return None
    if not isinstance(value, str) or not value:
        choice = "" if key in NEEDED else ", or false for none"
        raise InputError(f"{path}: {key} must be the name of a column{choice}, not {value!r:.60}")
    return value


def check_columns(columns: Columns) -> Columns:
    """Return columns after refusing names and forms of time that cannot be.

    :raises InputError: a column that must be there has no name, or the form of times is none.
    """
    for key in NEEDED:
        if not getattr(columns, key):
            raise InputError(f"the column of the {key} must have a name")
    if columns.time_format is not None:
        from hostrisk.host.source.dates import check_format

        check_format(columns.time_format)
    return columns


def choose_columns(
    columns: Columns | str | os.PathLike[str] | None, **names: str | None
) -> Columns:
    """Return the columns given, or those of a TOML file, or else the defaults with these names."""
    if isinstance(columns, Columns):
        return columns
    if columns is not None:
        return load_columns(columns)
    known: Any = names
    return Columns()._replace(**known)
