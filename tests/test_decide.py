"""From a score to a decision: thresholds by number and by name, kinds and targets allowed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hostrisk
from hostrisk import InputError, Policy, PolicyError
from hostrisk.decide import decide_one, judge, resolve_threshold

THREAT = "I will kill the mayor and hang every last one of these cops tomorrow"


def test_a_threshold_is_the_callers_or_the_policys(clf: hostrisk.Classifier) -> None:
    artifact = clf.artifact
    assert resolve_threshold(artifact, Policy(), None) == artifact.thresholds["default"]
    for name, value in artifact.thresholds.items():
        assert resolve_threshold(artifact, Policy(threshold=name), None) == value
    assert resolve_threshold(artifact, Policy(threshold=0.25), None) == 0.25
    assert resolve_threshold(artifact, Policy(threshold=1), None) == 1.0
    assert resolve_threshold(artifact, Policy(threshold=0.25), 0.75) == 0.75
    assert type(resolve_threshold(artifact, Policy(), np.float64(0.5))) is float


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, "0.5", [0.5]])
def test_what_is_no_probability_is_refused(clf: hostrisk.Classifier, wrong: object) -> None:
    with pytest.raises(InputError, match=r"threshold is .*; it must be from 0 to 1"):
        resolve_threshold(clf.artifact, Policy(), wrong)
    if not isinstance(wrong, str):
        with pytest.raises(PolicyError, match="policy default-1 has the threshold"):
            resolve_threshold(clf.artifact, Policy(threshold=wrong), None)


def test_an_unknown_name_of_a_threshold_lists_the_known(clf: hostrisk.Classifier) -> None:
    with pytest.raises(PolicyError, match=r"asks for the threshold 'strict'.* has default"):
        hostrisk.Classifier(clf.artifact, Policy(threshold="strict"))


def test_a_threshold_by_name(clf: hostrisk.Classifier) -> None:
    known = clf.artifact.thresholds
    decision = clf.decide("they should all be shot", at="review")
    assert decision.threshold == known["review"]
    assert clf.decide(["a", None], at="balanced")[0].threshold == known["balanced"]
    assert resolve_threshold(clf.artifact, clf.policy, at="review") == known["review"]
    with pytest.raises(InputError, match=r"at is 'sure'; the model default-.* has default, "):
        clf.decide("a", at="sure")
    with pytest.raises(InputError, match="give one of them"):
        clf.decide("a", at="review", threshold=0.5)


@pytest.mark.parametrize(
    ("score", "flagged"), [(0.5, True), (0.4999, False), (0.0, False), (1.0, True), (None, None)]
)
def test_a_score_at_the_threshold_is_flagged(
    clf: hostrisk.Classifier, score: float | None, flagged: bool | None
) -> None:
    text = None if score is None else THREAT
    found = decide_one(
        clf.artifact, clf.policy, text, score, threshold=0.5, policy_id="p@1", supported=True
    )
    assert (found.score, found.threshold, found.flagged) == (score, 0.5, flagged)
    assert (found.model, found.policy) == (clf.model_id, "p@1")
    assert (found.kind is not None) == bool(found.targets) == bool(flagged)


def test_kinds_and_targets_are_those_that_the_policy_names(clf: hostrisk.Classifier) -> None:
    kind, targets = judge(clf.artifact, Policy(kinds=("wish",), targets=("tech", "media")), THREAT)
    assert kind == "wish"
    assert set(targets) <= {"tech", "media"}
    assert judge(clf.artifact, Policy(kinds=(), targets=()), THREAT) == (None, ())


def test_targets_begin_with_the_most_probable(clf: hostrisk.Classifier) -> None:
    low = [head._replace(threshold=0.0) for head in clf.artifact.targets]
    low_artifact = clf.artifact._replace(targets=tuple(low))
    _, everyone = judge(low_artifact, Policy(), THREAT)
    assert sorted(everyone) == sorted(head.name for head in low)
    _, two = judge(low_artifact, Policy(targets=everyone[3:5][::-1]), THREAT)
    assert two == everyone[3:5]


def test_where_no_target_stands_out_it_is_nobody_in_particular(clf: hostrisk.Classifier) -> None:
    high = tuple(head._replace(threshold=1.0) for head in clf.artifact.targets)
    artifact = clf.artifact._replace(targets=high)
    assert judge(artifact, Policy(), THREAT)[1] == ("general",)
    assert judge(artifact, Policy(targets=("tech", "media")), THREAT)[1] == ()


def test_a_text_without_features_still_has_a_kind(clf: hostrisk.Classifier) -> None:
    kind, targets = judge(clf.artifact, Policy(), "")
    assert kind is not None
    assert targets
