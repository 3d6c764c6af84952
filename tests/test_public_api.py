"""The names that users may rely on; to add or remove one is a decision, made here too."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import hostrisk

PUBLIC = [
    "Classifier",
    "Decision",
    "Evaluation",
    "Explanation",
    "HostAssessment",
    "HostriskError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "Policy",
    "PolicyError",
    "Span",
    "__version__",
    "assess",
    "evaluate",
    "load",
    "sample",
    "score",
]

FIELDS = {
    hostrisk.Decision: "score threshold flagged kind targets model policy supported",
    hostrisk.Explanation: "text score logit bias spans kind targets window method",
    hostrisk.Policy: "name threshold kinds targets",
    hostrisk.Span: "start end text weight",
}

SIGNATURES = {
    hostrisk.assess: (
        "posts labels *text *time *id *host *name *policy *model *columns *query *as_of *notice "
        "*since *simultaneous *exemplars *redacted *threads *advance"
    ),
    hostrisk.load: "model *policy *tier",
    hostrisk.sample: (
        "posts n *seed *text *time *id *host *name *model *columns *query *threads *advance"
    ),
    hostrisk.score: "texts *threads",
    hostrisk.Classifier: "artifact policy",
    hostrisk.Classifier.score: "self texts *threads",
    hostrisk.Classifier.decide: "self texts *threshold *at *scores *threads",
    hostrisk.Classifier.explain: "self text",
}


def test_exported_names() -> None:
    assert sorted(hostrisk.__all__) == PUBLIC
    assert dir(hostrisk) == PUBLIC
    for name in PUBLIC:
        value = getattr(hostrisk, name)
        if name != "__version__":
            assert value.__name__ == name
            assert value.__doc__


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(hostrisk.__file__).read_bytes())
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {(a.name, n.module) for n in ast.walk(guarded[0]) if isinstance(n, ast.ImportFrom)
            for a in n.names}  # fmt: skip
    assert seen == {(name, f"hostrisk.{home}") for name, home in hostrisk._HOMES.items()}
    assert {*hostrisk._HOMES, "__version__"} == set(PUBLIC)


def test_fields_and_parameters() -> None:
    for record, fields in FIELDS.items():
        assert " ".join(record._fields) == fields
    for function, expected in SIGNATURES.items():
        parameters = inspect.signature(function).parameters.values()
        shown = ["*" * (p.kind is p.KEYWORD_ONLY) + p.name for p in parameters]
        assert " ".join(shown) == expected


def test_errors_are_what_callers_would_catch() -> None:
    for error in (hostrisk.InputError, hostrisk.ModelError, hostrisk.PolicyError):
        assert issubclass(error, hostrisk.HostriskError)
    assert issubclass(hostrisk.InputError, ValueError)
    assert issubclass(hostrisk.MissingExtraError, ImportError)
    message = str(hostrisk.MissingExtraError("Drawing", package="ink", extra="draw"))
    assert message.endswith('install it with: pip install "hostrisk[draw]"')


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(hostrisk, "classify")
