"""The schema of the DSA Transparency Database, and what in a statement does not fit it.

API version 2, in force since 1 July 2025, read on 2026-11-24:

* https://transparency.dsa.ec.europa.eu/page/api-documentation (fields, codes, limits)
* https://transparency.dsa.ec.europa.eu/page/additional-explanation-for-statement-attributes
* https://github.com/digital-services-act/transparency-database (source of the database: the
  documentation of version 2, and rules that it does not spell out, such as the last date allowed)

``templates/dsa_statement.json`` holds the schema. Limits count code points, as the database does
(``mb_strlen``).
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from hostrisk.host.letters.terms import date_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["check_statement", "load_schema"]


@cache
def load_schema() -> Any:
    """Return the schema: its fields with codes and limits, and which go together."""
    from importlib.resources import files

    return json.loads(
        (files("hostrisk.host.letters") / "templates" / "dsa_statement.json").read_bytes()
    )


def check_statement(statement: Mapping[str, Any]) -> list[str]:
    """Return a sentence on everything in a statement that the DSA database would not take.

    A field that the database would drop without a word, as it does not go with the others, counts
    too.
    """
    schema = load_schema()
    problems = [
        f"{name!r:.60} is not a field." for name in statement if name not in schema["fields"]
    ]
    if all(_is_missing(statement.get(name)) for name in schema["one_of"]):
        problems.append(f"One of {', '.join(schema['one_of'])} is required.")
    for name, field in schema["fields"].items():
        value = statement.get(name)
        if _is_missing(value):
            problems += _missing(statement, name, field)
        else:
            problems += _out_of_place(statement, name, field)
            problems += (f"{name} {said}" for said in _FORMS[field["form"]](value, field))
    return problems + _late_ends(statement, schema["fields"])


def _is_missing(value: Any) -> bool:
    # The database trims texts before it looks at them.
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _holds(statement: Mapping[str, Any], condition: Mapping[str, str]) -> bool:
    value = statement.get(condition["field"])
    wanted = condition["holds"]
    return wanted in value if isinstance(value, list | tuple) else value == wanted


def _missing(statement: Mapping[str, Any], name: str, field: Mapping[str, Any]) -> Iterator[str]:
    if field.get("required"):
        yield f"{name} is required."
    condition = field.get("required_if")
    if condition and _holds(statement, condition):
        yield f"{name} is required where {condition['field']} is {condition['holds']}."


def _out_of_place(
    statement: Mapping[str, Any], name: str, field: Mapping[str, Any]
) -> Iterator[str]:
    needed = field.get("required_if") or field.get("only_if")
    if needed and not _holds(statement, needed):
        yield f"{name} is read only where {needed['field']} is {needed['holds']}."
    barred = field.get("not_if")
    if barred and _holds(statement, barred):
        yield f"{name} is not read where {barred['field']} is {barred['holds']}."


def _check_text(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"must be text, not {value!r:.40}."
        return
    if re.search("[\ud800-\udfff]", value):
        yield "holds half a character, which no text has."
    if len(value) > field["most"]:
        yield f"has {len(value):,} characters; at most {field['most']:,} are taken."
    if "pattern" in field and not re.fullmatch(field["pattern"], value):
        yield "may hold only a-z, A-Z, 0-9, hyphens and underscores."


def _check_url(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    yield from _check_text(value, field)
    if isinstance(value, str) and not re.fullmatch(r"https?://[\w.-]+\.\w+(:\d+)?(/\S*)?", value):
        yield "must be an address that begins with http:// or https://."


def _check_code(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, str) or value not in field["codes"]:
        yield f"is {value!r:.60}, which is none of its codes."


def _check_codes(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        yield f"must be a list of codes, not {value!r:.60}."
        return
    for code in value:
        yield from _check_code(code, field)


def _check_date(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        yield f"must be a date such as 2021-01-05, not {value!r:.40}."
    elif date_of(value) is None:
        yield f"is {value}, which is no day."
    elif not field["first"] <= value <= field["last"]:
        yield f"is {value}; it must be from {field['first']} to {field['last']}."


def _check_ean(value: Any, field: Mapping[str, Any]) -> Iterator[str]:
    del field
    good = isinstance(value, dict) and list(value) == ["EAN-13"]
    if not (good and re.fullmatch(r"\d{13}", str(value["EAN-13"]), re.ASCII)):
        yield "must be an object with the key EAN-13 and a code of 13 digits."


def _late_ends(statement: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, field in fields.items():
        start, end = statement.get(field.get("not_before", "")), statement.get(name)
        if isinstance(start, str) and isinstance(end, str) and end.strip() and end < start:
            problems.append(f"{name} is {end:.40}, before the {field['not_before']}, {start:.40}.")
    return problems


_FORMS = {
    "text": _check_text,
    "url": _check_url,
    "code": _check_code,
    "codes": _check_codes,
    "date": _check_date,
    "ean": _check_ean,
}
