"""evaluate: from any source and any classifier to figures that can be kept and repeated."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import metrics as oracle

import hostrisk
from hostrisk.errors import InputError
from hostrisk.evaluation import Counts, Evaluation, evaluate
from hostrisk.metrics import METRICS, measure


class Policy(NamedTuple):
    id: str = "stand-in-policy"


class StandIn:
    """Score a text by the number it begins with, in percent; a null has no score."""

    model_id = "stand-in:1"
    threshold = 0.5
    policy = Policy()

    def __init__(self) -> None:
        self.calls = 0

    def score(self, texts: Any) -> Any:
        self.calls += 1
        scores = [None if t is None else int(t.split()[0]) / 100 for t in texts.to_pylist()]
        return pa.array(scores, pa.float64())


def make_rows(rows: int, seed: int = 0, groups: int = 3) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(int)
    percents = np.clip(rng.normal(30 + 35 * labels, 18), 0, 100).astype(int)
    return {
        "text": [f"{percent} text {n}" for n, percent in enumerate(percents)],
        "label": labels.tolist(),
        "group": [f"g{n % groups}" for n in range(rows)],
    }


def evaluate_stand_in(source: Any, **options: Any) -> Evaluation:
    return evaluate(source, **{"model": StandIn(), "resamples": 50, **options})


def few(*rows: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in rows]


# --- figures -------------------------------------------------------------------------------------


def test_figures_are_those_of_the_scores() -> None:
    columns = make_rows(900)
    found = evaluate_stand_in(pa.table(columns))
    labels = np.array(columns["label"])
    scores = np.array([int(text.split()[0]) / 100 for text in columns["text"]])
    assert found.metrics == measure(labels, scores, threshold=0.5, resamples=50)
    quiet, alarms, missed, hits = oracle.confusion_matrix(labels, scores >= 0.5).ravel()
    assert found.counts == Counts(hits, alarms, missed, quiet)
    assert (found.rows, found.positives, found.left_out) == (900, labels.sum(), 0)
    assert found.counts.flagged == (scores >= 0.5).sum()
    assert found.counts.negatives == (labels == 0).sum()
    assert (found.model, found.policy) == ("stand-in:1", "stand-in-policy")
    assert (found.source, found.threshold) == ("Table in memory", 0.5)
    assert sum(place.rows for place in found.reliability) == 900


def test_threshold_is_the_models_unless_told() -> None:
    rows = few(("50", 1), ("49", 1), ("70", 0), ("10", 0))
    assert evaluate_stand_in(rows).counts == Counts(1, 1, 1, 1)
    other = evaluate_stand_in(rows, threshold=0.49)
    assert (other.counts, other.threshold) == (Counts(2, 1, 0, 1), 0.49)
    assert evaluate_stand_in(rows, threshold=0).counts == Counts(2, 2, 0, 0)
    assert evaluate_stand_in(rows, threshold=0.71).metrics["precision"].estimate is None


def test_rows_without_label_or_text_are_left_out_and_counted() -> None:
    rows = few(("90", 1), (None, 1), ("20", None), (None, -1), ("10", 0), ("99", -1))
    found = evaluate_stand_in(rows)
    assert (found.rows, found.without_text, found.without_label, found.left_out) == (2, 1, 3, 4)
    assert found.counts == Counts(1, 0, 0, 1)


def test_groups_are_measured_like_a_table_of_their_own() -> None:
    columns = make_rows(600)
    columns["group"][:100] = [None] * 100
    table = pa.table(columns)
    found = evaluate_stand_in(table, group="group", threshold=0.4, seed=3)
    assert [group.name for group in found.groups] == ["(none)", "g0", "g1", "g2"]
    for group in found.groups:
        kept = [(name or "(none)") == group.name for name in columns["group"]]
        alone = evaluate_stand_in(table.filter(pa.array(kept)), threshold=0.4, seed=3)
        assert (group.counts, group.metrics) == (alone.counts, alone.metrics)
    assert evaluate_stand_in(table, threshold=0.4, seed=3).metrics == found.metrics


def test_group_without_a_measured_row_is_not_shown() -> None:
    rows = [{"text": "9", "label": 0, "g": "a"}, {"text": "9", "label": None, "g": "b"}]
    assert [group.name for group in evaluate_stand_in(rows, group="g").groups] == ["a"]


def test_batches_change_nothing(tmp_path: Path) -> None:
    table = pa.table(make_rows(500))
    parquet.write_table(table, tmp_path / "posts.parquet")
    model = StandIn()
    small = evaluate_stand_in(table.to_reader(max_chunksize=7), group="group", model=model)
    assert model.calls == 72
    from_file = evaluate_stand_in(tmp_path / "posts.parquet", group="group")
    whole = evaluate_stand_in(table, group="group")
    assert small.to_dict() == {**whole.to_dict(), "source": "RecordBatchReader in memory"}
    assert from_file.to_dict() == {**whole.to_dict(), "source": "posts.parquet"}


def test_same_seed_same_record_in_any_order() -> None:
    table = pa.table(make_rows(400))
    order = np.random.default_rng(1).permutation(400)
    first = evaluate_stand_in(table, group="group", seed=8).to_dict()
    assert evaluate_stand_in(table.take(order), group="group", seed=8).to_dict() == first
    other = evaluate_stand_in(table, group="group", seed=9).to_dict()
    assert other["metrics"] != first["metrics"]


def test_curve_is_thinned_but_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(5_000)
    labels = rng.random(5_000) < scores

    class Exact(StandIn):
        def score(self, texts: Any) -> Any:
            return [float(text) for text in texts.to_pylist()]

    table = pa.table({"text": list(map(str, scores.tolist())), "label": labels.tolist()})
    curve = evaluate_stand_in(table, model=Exact(), resamples=0).precision_recall
    assert len(curve) == 400
    assert [point.recall for point in curve] == sorted({point.recall for point in curve})
    assert curve[-1].recall == 1.0
    assert curve[0].recall == 1 / labels.sum()
    for point in curve[::50]:
        flagged = scores >= point.threshold
        assert point.precision == pytest.approx(labels[flagged].mean())
        assert point.recall == pytest.approx(labels[flagged].sum() / labels.sum())


# --- notes and records ---------------------------------------------------------------------------


def test_notes_say_what_is_not_given() -> None:
    mixed = evaluate_stand_in(pa.table(make_rows(400)))
    assert [note.split(" is not given")[0] for note in mixed.notes] == [
        "Recall at a false-positive rate of 0.1%",
        "Recall at a false-positive rate of 0.01%",
    ]
    assert "it takes 1,000 negatives to resolve that rate, and there are " in mixed.notes[0]
    positive = evaluate_stand_in(few(("90", 1), ("20", 1)))
    assert "\n".join(positive.notes) == (
        "Every row is positive. Average precision, ROC AUC, precision, false-positive rate, F1 and "
        "recall at a false-positive rate need negatives too and are not given."
    )
    assert positive.precision_recall == ()
    (note,) = evaluate_stand_in(few(("90", 0))).notes
    assert note.startswith("Every row is negative. ")
    assert " recall, F1 " in note
    quiet = evaluate_stand_in(few(("20", 1), ("10", 0)))
    assert quiet.notes[0] == "No row has a score of 0.5 or more, so that precision is not defined."


@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
@pytest.mark.parametrize("resamples", [0, 20])
def test_record_is_plain_json(labels: list[int], resamples: int) -> None:
    rows = [{"text": f"{n}0", "label": label, "g": n % 2} for n, label in enumerate(labels)]
    record = evaluate_stand_in(rows, group="g", resamples=resamples).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert list(record["metrics"]) == list(METRICS)
    assert [group["name"] for group in record["groups"]] == ["0", "1"]
    assert record["rows"] == sum(
        record[name]
        for name in ("true_positives", "false_positives", "false_negatives", "true_negatives")
    )


def test_record_is_frozen() -> None:
    found = evaluate_stand_in(few(("90", 1), ("20", 0)))
    with pytest.raises(AttributeError):
        found.threshold = 0.9  # type: ignore[misc]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.5}, "threshold is 1.5; it must be from 0 to 1"),
        ({"threshold": float("nan")}, "threshold is nan; it must be from 0 to 1"),
        ({"resamples": -1}, "resamples is -1; it must be 0 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"model": object()}, "model is of type object, which has no 'score'"),
        ({"group": "gone"}, "row 1 has no column 'gone'; its columns are 'text', 'label'"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate_stand_in(few(("90", 1)), **options)
    assert str(caught.value) == message


def test_sources_with_nothing_to_measure() -> None:
    with pytest.raises(InputError, match=r"^list in memory cannot be measured: it has no rows$"):
        evaluate_stand_in([])
    with pytest.raises(InputError, match="none of its 2 rows has both a label and a text"):
        evaluate_stand_in(few(("90", None), (None, 1)))


def test_too_many_groups() -> None:
    rows = [{"text": "9", "label": 0, "id": n} for n in range(1_001)]
    with pytest.raises(InputError, match="'id' has more than 1,000 different values"):
        evaluate_stand_in(rows, group="id")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0.5, None], "the model scored row 2 nan, which is no probability"),
        ([1.5, 0.5], "the model scored row 1 1.5, which is no probability"),
        ([0.5], "the model gave 1 scores for 2 texts"),
        ([[0.5, 0.5], [0.5, 0.5]], "the model gave 4 scores for 2 texts"),
    ],
)
def test_models_that_do_not_score(given: Any, message: str) -> None:
    class Broken(StandIn):
        def score(self, texts: Any) -> Any:
            return given

    with pytest.raises(InputError) as caught:
        evaluate_stand_in(few(("90", 1), ("20", 0)), model=Broken())
    assert str(caught.value) == message


# --- the bundled model ---------------------------------------------------------------------------


@pytest.fixture
def bundled() -> Any:
    """Load the bundled classifier; skip where this checkout has none yet."""
    spec = find_spec("hostrisk")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    built = any((Path(folder) / "models/default/manifest.json").exists() for folder in folders)
    if not (built and hasattr(hostrisk, "load")):
        pytest.skip("the bundled model is not built")
    return hostrisk.load()


CASES = few(
    ("We will hang every one of these traitors tomorrow, bring your rifles", 1),
    ("Kill them all, burn their houses down", 1),
    ("The committee meets on Tuesday to talk about the budget", 0),
    ("My sourdough is finally rising, what a lovely morning", 0),
)


def test_bundled_model_is_the_default(bundled: Any) -> None:
    found = evaluate(CASES, resamples=0)
    assert found.threshold == bundled.threshold
    assert found.model == bundled.model_id
    assert found.to_dict() == evaluate(CASES, model=bundled, resamples=0).to_dict()


def test_bundled_model_tells_threats_from_bread(bundled: Any) -> None:
    assert evaluate(CASES, model=bundled, resamples=0).metrics["roc_auc"].estimate == 1.0
