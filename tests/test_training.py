"""Training: splits do not leak, names are mapped once, the same data gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hostrisk
from hostrisk.artifact import load_artifact
from hostrisk.attacks import attack
from hostrisk.calibration import choose_thresholds, fit_platt
from hostrisk.features import SLOTS
from hostrisk.language import unseen_share
from hostrisk.metrics import average_precision
from training import retrain as retraining
from training import sources
from training.augment import augment, swap_camps, trick
from training.calibrate import choose_band, fit_mix
from training.fit_linear import feature_matrix, fit, unit_rows
from training.labels import KINDS, TARGETS, map_kind, map_targets
from training.split import assign_splits, group_near_duplicates
from training.vocabulary import fit_vocabulary

CONFIG = retraining.load_config(retraining.HERE / "config.toml")
VERBS, OBJECTS = ("shoot", "hang", "burn", "stab"), ("traitors", "judges", "bankers", "neighbours")


def small_file(folder: Path) -> Path:
    """Write 240 labeled posts that a word model can tell apart."""
    rng = random.Random(3)
    rows = []
    for number in range(120):
        verb, thing = rng.choice(VERBS), rng.choice(OBJECTS)
        rows.append((f"we will {verb} those {thing} {rng.choice('abcdefgh')}{number}", 1))
        rows.append(
            (f"we will thank those {thing} {rng.choice('abcdefgh')}{number} for the cake", 0)
        )
    path = folder / "labels.csv"
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    config = {**CONFIG, "linear": {**CONFIG["linear"], "iterations": 15, "folds": 2}}
    retraining.retrain(
        str(small_file(folder)), folder / "model", config, jobs=1, cache=folder / "cache",
        searching=False,
    )  # fmt: skip
    return folder


def digest(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_trained_model_loads_verifies_and_knows_its_labels(trained: Path) -> None:
    lines = list(hostrisk.artifact.verify(trained / "model"))
    assert "golden" in lines[-1]
    clf = hostrisk.load(trained / "model")
    assert clf.score("we will hang those judges") > clf.score("we will thank those judges")
    assert (trained / "model" / "README.md").read_text("utf-8").startswith("# Model card")


def test_same_data_and_config_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    config = {**CONFIG, "linear": {**CONFIG["linear"], "iterations": 15, "folds": 2}}
    retraining.retrain(
        str(trained / "labels.csv"), tmp_path / "again", config, jobs=2, cache=tmp_path / "cache",
        searching=False,
    )  # fmt: skip
    assert digest(tmp_path / "again") == digest(trained / "model")


def test_near_duplicates_share_a_group() -> None:
    texts = [
        "They should all be shot on sight tomorrow morning",
        "@somebody They should all be shot on sight tomorrow morning https://example.org #now",
        "they should ALL be shot on sight tomorrow morning!!! they really should",
        "We baked a cake for the school party yesterday",
        "kill",
        "hill",
        "",
        "🔪",
    ]
    groups = group_near_duplicates(texts, feature_matrix(texts), [None] * len(texts))
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups.tolist())) == len(texts) - 2


def test_templates_share_a_group_and_splits_go_by_group() -> None:
    texts = [f"{thing} number {at}" for at in range(400) for thing in ("alpha", "omega")]
    groups = group_near_duplicates(
        texts, feature_matrix(texts), [f"t{at // 2}" for at in range(800)]
    )
    splits = assign_splits(texts, groups, {"train": 0.7, "test": 0.3})
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1


def test_splits_have_their_shares_and_stay_when_rows_are_added() -> None:
    texts = [
        hashlib.sha256(str(at).encode())
        .hexdigest()
        .translate(str.maketrans("0123456789", "ghijklmnop"))
        for at in range(4000)
    ]
    groups = np.arange(4000)
    shares = {"train": 0.7, "test": 0.3}
    splits = assign_splits(texts, groups, shares)
    assert 0.27 < (splits == "test").mean() < 0.33
    assert (assign_splits(texts[:2000], groups[:2000], shares) == splits[:2000]).all()


def test_names_of_sources_are_mapped_to_the_policy() -> None:
    assert map_kind("threat") == "threat"
    assert map_kind("violence_other") is None
    assert map_targets("gay people") == {"lgbt"}
    assert map_targets("blawom") == {"black", "women"}
    assert map_targets("politician,left") == {"politician", "left"}
    assert map_targets("") == map_targets(None) == frozenset()
    assert (KINDS, TARGETS) == (hostrisk.policy.KINDS, hostrisk.policy.TARGETS)


def test_training_features_are_those_that_score() -> None:
    texts = ["they should all be shot on sight", "a cake", "", "word " * 400]
    labels = np.array([1, 0, 0, 0])
    config = {**CONFIG["linear"], "iterations": 20, "least_rows": 1}
    matrix = feature_matrix(texts)
    model = fit(matrix, labels, np.ones(4), config)
    scorer = hostrisk.linear.LinearScorer(
        memoryview(model.weights), model.scale, model.bias, memoryview(b""), 1
    )
    expected = 1 / (1 + np.exp(-model.logits(unit_rows(matrix))))
    assert np.allclose(scorer.score_list(texts), expected, atol=1e-6)


def test_platt_scaling_recovers_a_known_calibration() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 2, 20_000)
    labels = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))
    slope, intercept = fit_platt(logits, labels)
    assert abs(slope - 0.5) < 0.05
    assert abs(intercept + 1) < 0.1


def test_thresholds_reach_their_aims_on_their_own_rows() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(5000) < 0.05
    scores = 1 / (1 + np.exp(-(rng.normal(0, 1, 5000) + 3 * labels - 2)))
    found = choose_thresholds(scores, labels)
    for name, rate in (("default", 0.012), ("fpr_0.01", 0.01), ("fpr_0.001", 0.001)):
        assert (scores[~labels] >= found[name]["threshold"]).mean() <= rate
    assert (scores[labels] >= found["review"]["threshold"]).mean() >= 0.9
    flagged = scores >= found["evidence"]["threshold"]
    assert labels[flagged].mean() >= 0.9


def two_models() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits of a good model and of one that knows less, and the labels."""
    rng = np.random.default_rng(5)
    labels = (rng.random(4000) < 0.05).astype(int)
    return labels * 5 + rng.normal(-4, 1, 4000), labels * 3 + rng.normal(-4, 1.5, 4000), labels


def test_mix_is_calibrated_and_no_worse_than_either() -> None:
    good, weak, labels = two_models()
    natural = np.arange(4000) < 3000
    mix, mixed = fit_mix(good, weak, labels, natural)
    assert mix["encoder"] > mix["fast"] > 0
    assert np.allclose(mixed, mix["encoder"] * good + mix["fast"] * weak + mix["bias"])
    assert average_precision(labels, mixed) > average_precision(labels, good)
    rate = (1 / (1 + np.exp(-mixed[natural]))).mean()
    assert rate == pytest.approx(labels[natural].mean(), abs=0.002)


def test_mix_never_trusts_a_model_that_is_wrong() -> None:
    good, weak, labels = two_models()
    assert fit_mix(good, -weak, labels, np.ones(4000, dtype=bool))[0]["fast"] == 0


def test_band_keeps_quality_and_leaves_most_texts_out() -> None:
    good, weak, labels = (1 / (1 + np.exp(-x)) if x.dtype != int else x for x in two_models())
    band = choose_band(weak, good, labels, lost=0.05)
    inside = (weak >= band["low"]) & (weak <= band["high"])
    assert band["share"] == round(inside.mean(), 4) < 0.6
    found = average_precision(labels, np.where(inside, good, weak))
    assert found >= average_precision(labels, good) - 0.05
    assert choose_band(weak, good, labels, lost=1.0)["share"] < 0.01


def test_variants_are_made_again_from_their_ids() -> None:
    rows = pd.DataFrame(
        {"id": ["a", "b"], "text": ["The Democrats SHOULD hang, HER too", "nobody is named here"]},
        index=[5, 9],
    )
    made = augment(rows, ["what a lovely day"])
    assert made.equals(augment(rows, ["what a lovely day"]))
    assert made[made["id"] == "a~swap"]["row"].tolist() == [5]
    assert "b~swap" not in made["id"].tolist()
    swapped = made[made["id"] == "a~swap"]["text"].item()
    assert "Democrats" not in swapped
    assert "HIM" in swapped
    assert "lovely" in made[made["id"] == "b~splice"]["text"].item()
    assert augment(rows, []).empty


def test_catalogue_rows_keep_their_sources_apart() -> None:
    folder = os.environ.get("HOSTRISK_DATA")
    if not folder:
        pytest.skip("HOSTRISK_DATA names no folder of labeled data")
    rows = sources.read_catalogue(Path(folder), ["parler_violence", "pool_violence"], ["en"])
    assert set(rows["label"]) == {-1, 0, 1}
    assert set(rows["source"]) == {"parler_violence", "pool_violence"}
    assert rows.loc[rows["label"] == 1, "kind"].notna().all()
    forbidden = {"indonesian_hs", "dktc_korean", "ag_news_test", "germeval_violence"}
    assert not forbidden & set(sources.permitted())


def test_bundled_model_finds_real_posts() -> None:
    folder = os.environ.get("HOSTRISK_DATA")
    if not folder:
        pytest.skip("HOSTRISK_DATA names no folder of labeled data")
    clf = hostrisk.load()
    posts = pd.read_parquet(Path(folder) / "parler_violence.parquet")
    scores = clf.score(posts["text"])
    benign = posts["label"] == 0
    assert (scores[benign] >= clf.threshold).mean() <= 0.02
    assert scores[posts["label"] == 1].mean() > 5 * scores[benign].mean()


def test_bundled_model_says_what_it_was_trained_on() -> None:
    manifest = load_artifact(hostrisk.artifact.bundled_path()).manifest
    assert {row["source"] for row in manifest["data"]} >= {"written"}
    assert manifest["metrics"]["suite"]["cases"] >= 1000
    assert all(len(row["sha256"]) == 64 for row in manifest["data"])


def test_a_dataset_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    given = datasets.Dataset.from_dict({"text": ["hang them all", "a cake"], "label": [1, 0]})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: given)
    rows, _ = retraining._read("someone/posts", CONFIG)
    assert rows["source"].value_counts()["posts"] == 2


@pytest.mark.parametrize("name", ["no/such/folder", "nothing.csv"])
def test_data_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match=f"{name} does not exist"):
        retraining._read(name, CONFIG)


def test_a_dataset_that_cannot_be_loaded_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def refuse(name: str, split: str) -> None:
        raise ConnectionError(f"no network for {name} {split}")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(SystemExit, match="as a dataset: no network for some train"):
        retraining._read("some", CONFIG)


def test_vocabulary_holds_common_words_and_a_limit_that_most_posts_keep() -> None:
    rng = np.random.default_rng(0)
    common = ["we", "went", "to", "the", "river", "and", "had", "coffee", "with", "friends"]
    texts = [" ".join(rng.choice(common, 8)) for _ in range(400)] + ["qzx wvk jjh"] * 2
    groups = np.arange(len(texts))
    words, limit = fit_vocabulary(texts, groups, np.ones(len(texts), dtype=bool), seed=0)
    assert words.shape == (SLOTS // 8,)
    assert words.dtype == np.int8
    known = unseen_share(["we had coffee", "wir tranken kaffee dort"], memoryview(words))
    assert known == [0.0, 0.8]
    assert 0 <= limit < 0.8
    assert fit_vocabulary(texts, groups, np.zeros(len(texts), dtype=bool), seed=0)[0].tolist() == (
        words.tolist()
    )


@pytest.mark.parametrize("text", ["Democrats lie", "REPUBLICANS lie", "the Antifa man, biden"])
def test_camps_are_swapped_both_ways(text: str) -> None:
    swapped = swap_camps(text)
    assert swapped != text
    assert swap_camps(swapped) == text


def test_tricks_are_repeatable_and_keep_the_text() -> None:
    calm = ["nice day", "good bread"]
    for name in ("pad", "disavow"):
        made = trick("hang them all", name, calm)
        assert made == trick("hang them all", name, calm) != "hang them all"
        assert "hang them all" in made
    assert trick("hang them all", "pad", []) == "hang them all"
    assert trick("hang them all", "leet", calm) == attack("hang them all", "leet", seed=1)


def test_padding_has_as_much_written_calm_as_other() -> None:
    rows = pd.DataFrame(
        {
            "source": ["tweeteval"] * 6 + ["written"] * 3,
            "origin": [None] * 6 + ["calm_everyday", "calm_everyday", "sport"],
            "label": [0] * 9,
            "text": [f"text {n}" for n in range(9)],
        }
    )
    found = sources.padding_texts(rows)
    assert found.count("text 0") == 1
    assert found.count("text 6") == 3
    assert "text 8" not in found
