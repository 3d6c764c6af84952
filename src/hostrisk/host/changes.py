"""What changed between two assessments of the same hosts."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hostrisk.errors import InputError
from hostrisk.report.host.words import rate, share

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compare", "read_assessment"]

_TERMS = ("model", "policy", "threshold", "level", "version")


def read_assessment(source: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an assessment from a dict or from the ``assessment.json`` at a path.

    :raises InputError: it cannot be read, or is no assessment.
    """
    if isinstance(source, str | os.PathLike):
        name, found = str(source), _load(source)
    else:
        name, found = f"the {type(source).__name__} given as since", source
    if not _is_assessment(found):
        raise InputError(f"{name} is not an assessment; give the assessment.json of an earlier one")
    return found  # type: ignore[no-any-return]


def _load(path: str | os.PathLike[str]) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from error


# --- whether it is an assessment: what is compared must be there and of its kind -----------------


def _is_assessment(found: Any) -> bool:
    if not isinstance(found, Mapping) or not isinstance(found.get("hosts"), list):
        return False
    period = found.get("period")
    named = all(_is_text(found.get(key)) for key in ("model", "version"))
    dated = isinstance(period, Mapping) and all(
        period.get(key) is None or _is_text(period[key]) for key in ("start", "end")
    )
    return named and dated and all(map(_is_host, found["hosts"]))


def _is_host(host: Any) -> bool:
    if not isinstance(host, Mapping) or not isinstance(host.get("targets"), list):
        return False
    response = host.get("responsiveness")
    removed = response.get("flagged") if isinstance(response, Mapping) else response
    return (
        all(_is_text(host.get(key)) for key in ("host", "tier"))
        and _is_number(host.get("urgent"))
        and _is_interval(host.get("overall"), "prevalence")
        and (removed is None or _is_interval(removed, "share"))
        and all(map(_is_group, host["targets"]))
    )


def _is_group(group: Any) -> bool:
    return (
        isinstance(group, Mapping)
        and _is_text(group.get("name"))
        and _is_number(group.get("flagged"))
    )


def _is_interval(found: Any, key: str) -> bool:
    if not isinstance(found, Mapping) or key not in found:
        return False
    return found[key] is None or all(_is_number(found.get(name)) for name in (key, "low", "high"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    """Tell whether it is text that can be written: JSON may spell out half a character."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is different now, host by host, as the entry ``since`` of an assessment."""
    earlier = {host["host"]: host for host in before["hosts"]}
    names = [host["host"] for host in now["hosts"]]
    hosts = [
        {"host": host["host"], "changes": list(_changes(earlier.get(host["host"]), host))}
        for host in now["hosts"]
    ]
    gone = [
        {"host": name, "changes": [{"what": "host", "before": name, "after": None,
                                    "text": "is not among the hosts any more"}]}
        for name in earlier if name not in names
    ]  # fmt: skip
    return {
        "from": {key: before.get(key) for key in ("period", "model", "version")},
        "same_terms": all(before.get(key) == now.get(key) for key in _TERMS),
        "hosts": [*hosts, *gone],
    }


def _changes(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if before is None:
        yield _change("host", None, now["host"], "is new: the last assessment did not have it")
        return
    if before.get("tier") != now["tier"]:
        text = f"the tier went from {before.get('tier')} to {now['tier']}"
        yield _change("tier", before.get("tier"), now["tier"], text)
    for what in ("prevalence", "removed share"):
        old, new = _interval(what, before), _interval(what, now)
        if old and new and old != new:
            yield _change(what, old, new, _sentence(what, old, new))
    old_urgent, new_urgent = before.get("urgent"), now["urgent"]
    if old_urgent is not None and old_urgent != new_urgent:
        text = f"urgent posts: {old_urgent:,} before, {new_urgent:,} now"
        yield _change("urgent", old_urgent, new_urgent, text)
    known = {group["name"] for group in before.get("targets", ()) if group.get("flagged")}
    new_targets = [group["name"] for group in now["targets"] if group["flagged"]]
    added = [name for name in new_targets if name not in known]
    if added:
        yield _change("targets", sorted(known), new_targets, f"new targets: {', '.join(added)}")


def _change(what: str, before: Any, after: Any, text: str) -> dict[str, Any]:
    return {"what": what, "before": before, "after": after, "text": text}


def _interval(what: str, host: Mapping[str, Any]) -> dict[str, float] | None:
    if what == "prevalence":
        found, key = host["overall"], "prevalence"
    else:
        found, key = (host.get("responsiveness") or {}).get("flagged") or {}, "share"
    if found.get(key) is None:
        return None
    return {name: found[name] for name in (key, "low", "high")}


def _sentence(what: str, old: Mapping[str, float], new: Mapping[str, float]) -> str:
    key, show = ("prevalence", rate) if what == "prevalence" else ("share", share)
    apart = new["low"] > old["high"] or new["high"] < old["low"]
    sure = "more than chance explains" if apart else "the intervals overlap"
    return f"{what}: {show(old[key])} before, {show(new[key])} now; {sure}"
