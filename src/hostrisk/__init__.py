"""Find violent incitement in text: threats, incitement, glorification and wishes of violence.

>>> import hostrisk
>>> clf = hostrisk.load()
>>> clf.score("we baked a cake for the school party") < clf.threshold
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hostrisk.classifier import Classifier, load, score
    from hostrisk.errors import (
        HostriskError,
        InputError,
        MissingExtraError,
        ModelError,
        PolicyError,
    )
    from hostrisk.evaluation import Evaluation, evaluate
    from hostrisk.host import HostAssessment, assess, sample
    from hostrisk.policy import Policy
    from hostrisk.records import Decision, Explanation, Span

__version__ = "0.1.0"

# Each name is imported when it is first used, so that `import hostrisk` costs almost nothing.
_HOMES = {
    "Classifier": "classifier",
    "Decision": "records",
    "Evaluation": "evaluation",
    "Explanation": "records",
    "HostAssessment": "host",
    "HostriskError": "errors",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "Policy": "policy",
    "PolicyError": "errors",
    "Span": "records",
    "assess": "host",
    "evaluate": "evaluation",
    "load": "classifier",
    "sample": "host",
    "score": "classifier",
}

__all__ = [
    "Classifier", "Decision", "Evaluation", "Explanation", "HostAssessment", "HostriskError",
    "InputError", "MissingExtraError", "ModelError", "Policy", "PolicyError", "Span",
    "__version__", "assess", "evaluate", "load", "sample", "score",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hostrisk' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hostrisk.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
