"""What counts as flagged: thresholds, kinds and target groups, from defaults or a TOML file.

The default policy stands here in code, so that no TOML parser is loaded to score one text;
``policies/default.toml`` says the same, as a file to copy and change, and a test compares them.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk._toml import read_toml
from hostrisk.errors import PolicyError

if TYPE_CHECKING:
    import os

__all__ = ["KINDS", "NOBODY", "TARGETS", "Policy", "load_policy"]

KINDS = ("threat", "incitement", "glorification", "wish")
TARGETS = (
    "politician", "official", "police", "media", "teacher", "athlete", "celebrity", "tech",
    "black", "jewish", "muslim", "immigrant", "asian", "white", "women", "lgbt", "left", "right",
    "criminal", "person", "general",
)  # fmt: skip
NOBODY = "general"  # nobody in particular


class Policy(NamedTuple):
    """What a user wants flagged.

    ``threshold`` is a probability, or the name of a threshold that the model carries. ``kinds``
    and ``targets`` are those that a decision may name.
    """

    name: str = "default-1"
    threshold: float | str = "default"
    kinds: tuple[str, ...] = KINDS
    targets: tuple[str, ...] = TARGETS

    @property
    def id(self) -> str:
        """Name of the policy with a hash of all it says."""
        content = json.dumps(self._asdict(), sort_keys=True).encode()
        return f"{self.name}@{hashlib.sha256(content).hexdigest()[:12]}"


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy from a TOML file; keys left out keep their defaults, but the name is custom.

    :raises PolicyError: the file cannot be read, or holds unknown keys or impossible values.
    """
    values = read_toml(path, PolicyError)
    for key in values:
        if key not in Policy._fields:
            known = ", ".join(Policy._fields)
            raise PolicyError(f"{path} has the unknown key {key!r}; known are {known}")
    return _checked(values, path)


def _checked(values: dict[str, Any], path: str | os.PathLike[str]) -> Policy:
    name, threshold = values.get("name", "custom"), values.get("threshold", "default")
    if not isinstance(name, str) or not name:
        raise PolicyError(f"{path}: name must be text, not {name!r}")
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not isinstance(threshold, str) and not (number and 0 <= threshold <= 1):
        raise PolicyError(
            f"{path}: threshold must be from 0 to 1 or the name of a threshold, not {threshold!r}"
        )
    lists = {}
    for key, known in (("kinds", KINDS), ("targets", TARGETS)):
        chosen = values.get(key, list(known))
        if not isinstance(chosen, list) or any(item not in known for item in chosen):
            raise PolicyError(f"{path}: {key} must be a list out of {', '.join(known)}")
        lists[key] = tuple(chosen)
    return Policy(name, float(threshold) if number else threshold, **lists)
