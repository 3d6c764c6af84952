"""Calibration: the numbers of Platt scaling, thresholds with intervals, a model for other posts."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import hostrisk
from hostrisk import InputError, artifact
from hostrisk.calibration import choose_thresholds, fit_platt, recalibrate
from hostrisk.cli import main

if TYPE_CHECKING:
    from pathlib import Path

VIOLENT = ("we will shoot the {}", "hang every {} now", "hope the {} dies", "kill the {} tonight")
CALM = ("we thanked the {}", "the {} came by", "call the {} tomorrow", "the {} won the race")
PEOPLE = ("judge", "senator", "clerk", "banker", "teacher", "reporter", "coach", "mayor")


@pytest.fixture(scope="module")
def sample() -> tuple[list[str], list[int]]:
    """Return 400 posts, a third of them violent (far more than on a host), a tenth mislabeled."""
    rng = random.Random(1)
    truth = [int(rng.random() < 1 / 3) for _ in range(400)]
    texts = [
        rng.choice(VIOLENT if label else CALM).format(rng.choice(PEOPLE)) + f" {number}"
        for number, label in enumerate(truth)
    ]
    return texts, [label if rng.random() < 0.9 else 1 - label for label in truth]


def test_platt_scaling_is_logistic_regression() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(-2, 3, 3000)
    labels = (rng.random(3000) < 1 / (1 + np.exp(-(0.6 * logits + 1.5)))).astype(int)
    model = LogisticRegression(C=1e9, tol=1e-9, max_iter=1000).fit(logits[:, None], labels)
    slope, intercept = fit_platt(logits, labels)
    assert slope == pytest.approx(model.coef_[0, 0], abs=1e-3)
    assert intercept == pytest.approx(model.intercept_[0], abs=1e-3)


def test_few_positives_move_only_the_intercept() -> None:
    logits = np.linspace(-5, 5, 300)
    labels = (logits > 4.8).astype(int)
    slope, intercept = fit_platt(logits, labels)
    assert slope == 1.0
    assert (1 / (1 + np.exp(-(logits + intercept)))).mean() == pytest.approx(labels.mean())
    assert fit_platt(logits, np.zeros(300)) == (1.0, 0.0)


def test_separable_logits_end_in_finite_numbers() -> None:
    logits = np.concatenate([np.full(100, -50.0), np.full(100, 50.0)])
    assert np.isfinite(fit_platt(logits, np.repeat([0, 1], 100))).all()


def test_thresholds_carry_intervals_that_hold_their_shares() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(5000) < 0.04).astype(int)
    scores = 1 / (1 + np.exp(-(labels * 4 + rng.normal(-3, 1, 5000))))
    found = choose_thresholds(scores, labels)
    assert {"default", "balanced", "review", "evidence"} <= set(found)
    for values in found.values():
        for name in ("precision", "recall", "false_positive_rate"):
            low, high = values[f"{name}_interval"]
            assert 0 <= low <= values[name] <= high <= 1
    assert found["review"]["recall"] >= 0.9
    assert found["evidence"]["precision"] >= 0.9


@pytest.mark.parametrize("model", ["fast", "accurate"])
def test_a_recalibrated_model_means_what_it_says(
    model: str, sample: tuple[list[str], list[int]], tmp_path: Path
) -> None:
    if model == "accurate":
        pytest.importorskip("onnxruntime", reason='needs pip install "hostrisk[accurate]"')
    texts, labels = sample
    before = hostrisk.load(model)
    written = recalibrate(before, texts, labels, tmp_path / "new")
    after = hostrisk.load(tmp_path / "new")
    assert written.model_id == after.model_id != before.model_id
    scores = np.array(after.score(texts))
    assert scores.mean() == pytest.approx(np.mean(labels), abs=0.01)
    order = np.argsort(before.score(texts), kind="stable")
    assert (np.diff(scores[order]) >= -1e-9).all()
    assert any("golden" in line for line in artifact.verify(tmp_path / "new"))
    fast = np.array(hostrisk.load(tmp_path / "new", tier="fast").score(texts))
    assert fast.mean() == pytest.approx(np.mean(labels), abs=0.01)


def test_the_band_of_a_cascade_follows_its_fast_model(
    sample: tuple[list[str], list[int]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason='needs pip install "hostrisk[accurate]"')
    texts, labels = sample
    before = hostrisk.load("cascade")
    recalibrate(before, texts, labels, tmp_path / "new")
    after = hostrisk.load(tmp_path / "new", tier="cascade")
    posts = [*texts[:100], *(f"a fine day number {n}" for n in range(100))]
    before.score(posts)
    after.score(posts)
    assert after.encoded_share == before.encoded_share
    old: Any = before.artifact.scorer
    new: Any = after.artifact.scorer
    assert new.fast.score_one("") != old.fast.score_one("")


@pytest.mark.parametrize(
    ("count", "positives"), [(199, 50), (300, 4), (300, 298)], ids=["few", "calm", "violent"]
)
def test_too_small_samples_are_refused(count: int, positives: int, tmp_path: Path) -> None:
    labels = [1] * positives + [0] * (count - positives)
    with pytest.raises(InputError, match="takes at least 200, with 5 of each label"):
        recalibrate(hostrisk.load(), ["a"] * count, labels, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_command(sample: tuple[list[str], list[int]], tmp_path: Path) -> None:
    path = tmp_path / "labeled.csv"
    texts, labels = sample
    pd.DataFrame({"body": [*texts, "no label"], "bad": [*labels, None]}).to_csv(path, index=False)
    given = ["calibrate", str(path), "--text", "body", "--label", "bad"]
    done = CliRunner().invoke(main, [*given, "--out", str(tmp_path / "new")])
    assert done.exit_code == 0, done.output
    assert "balanced" in done.stdout
    assert hostrisk.load(tmp_path / "new").model_id in done.stderr
    short = tmp_path / "short.csv"
    short.write_text("text,label\na,1\n", "utf-8")
    refused = CliRunner().invoke(main, ["calibrate", str(short), "--out", str(tmp_path / "other")])
    assert refused.exit_code == 1
    assert "there are 1 labeled posts" in refused.stderr
    assert not (tmp_path / "other").exists()
