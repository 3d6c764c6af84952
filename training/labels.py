"""Map what sources say to what the model learns: one label, one kind, a set of target groups.

The only place that knows the names that sources use. The codes are those of docs/policy.md.
"""

from __future__ import annotations

import re

from hostrisk.policy import KINDS, TARGETS

__all__ = ["KINDS", "TARGETS", "map_kind", "map_targets"]

# Names in HateCheck, Hatemoji and others for the groups of the policy; dotted and joined codes of
# Hatemoji ("asi.east.chin", "blawom") are taken apart by the patterns.
_GROUPS = {
    "black": r"\bblack|^bla",
    "jewish": r"jew",
    "muslim": r"muslim|^mus|islam",
    "immigrant": r"immigrant|refugee|^immi|^ref",
    "asian": r"^asi|asian|chin",
    "white": r"^whi|white",
    "women": r"\bwomen|wom",
    "lgbt": r"gay|trans|lgbt|lesb|^bis|queer|homosex",
}


def map_kind(kind: str | None) -> str | None:
    """Return the kind of the policy that a source's kind stands for, or None."""
    return kind if kind in KINDS else None


def map_targets(targets: str | None) -> frozenset[str]:
    """Return the target groups of the policy that a source's comma-joined targets name."""
    found: set[str] = set()
    for name in (part.strip().lower() for part in (targets or "").split(",")):
        if name in TARGETS:
            found.add(name)
        else:
            found |= {group for group, pattern in _GROUPS.items() if re.search(pattern, name)}
    return frozenset(found)
