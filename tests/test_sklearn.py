"""The scikit-learn estimators: scikit-learn's own checks, then what texts need beyond them."""

from __future__ import annotations

import copy
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is an extra")

import pandas as pd
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags

import hostrisk
from hostrisk import Classifier
from hostrisk.artifact import bundled_path, save_artifact
from hostrisk.errors import InputError, MissingExtraError, ModelError
from hostrisk.features import SLOTS, slots_of, text_windows
from hostrisk.sklearn import HashedNgrams, HostriskClassifier

if TYPE_CHECKING:
    from pathlib import Path

VIOLENT = [
    "hang them all", "shoot every one of them", "we will kill you", "burn their houses down",
    "they deserve to be shot", "string them up now", "kill the lot of them", "beat him to death",
]  # fmt: skip
PEACEFUL = [
    "we baked a cake", "the train was late again", "what a lovely garden", "tea and cake at four",
    "the meeting is on monday", "i like your new coat", "she reads a book", "rain all day today",
]  # fmt: skip
TEXTS = VIOLENT + PEACEFUL
LABELS = [1] * len(VIOLENT) + [0] * len(PEACEFUL)

needs_bundled = pytest.mark.skipif(
    not os.path.isfile(os.path.join(bundled_path(), "manifest.json")),
    reason="the bundled model, models/default, has not been built",
)


# --- scikit-learn's own checks -------------------------------------------------------------------

# They feed tables of floats and are left out, all but cloning, for estimators that say they take
# no tables. So they run on the estimators with each row of a table written out as a text; what is
# no table of numbers goes to the estimator as it is.

COLUMNS = "a text has no columns to count"
LEARNS = "a loaded model learns no weights, and no labels other than 0 and 1"
EXPECTED_FAILURES: dict[str, dict[str, str]] = {
    "all": {
        "check_n_features_in": COLUMNS,
        "check_n_features_in_after_fitting": COLUMNS,
        "check_estimators_empty_data_messages": COLUMNS,
        "check_complex_data": "a table of complex numbers is refused as any table is",
        "check_estimators_nan_inf": "written out, nan and inf are words like others",
        "check_fit2d_predict1d": "one dimension is what texts have",
    },
    "classifier": {
        # run up to its end by test_classifiers_train, which leaves this out
        "check_classifiers_train": COLUMNS,
    },
    "pretrained": {
        "check_all_zero_sample_weights_error": LEARNS,
        "check_classifier_data_not_an_array": LEARNS,
        "check_classifiers_classes": LEARNS,
        "check_classifiers_one_label": LEARNS,
        "check_estimators_dtypes": LEARNS,
        "check_fit2d_1feature": LEARNS,
        "check_sample_weights_not_an_array": LEARNS,
        "check_sample_weights_not_overwritten": LEARNS,
        "check_sample_weights_pandas_series": LEARNS,
        "check_sample_weights_shape": LEARNS,
    },
}
# Skipped by scikit-learn itself, unless in the environment that test_array_api_input sets.
SKIPPED = {"check_array_api_input": "SCIPY_ARRAY_API is not set before SciPy is imported"}


def spell(table: Any) -> Any:
    """Write each row of a table of numbers as a text."""
    if sparse.issparse(table) or not (hasattr(table, "__array__") or isinstance(table, list)):
        return table
    array = np.asarray(table)
    if array.ndim != 2 or array.dtype.kind not in "fiuO" or not len(array):
        return table
    return [" ".join(map(spell_value, range(len(row)), row)) for row in array.tolist()]


def spell_value(column: int, value: Any) -> str:
    """Write a number as a word of its column, the same for numbers that are close."""
    number = float("nan") if isinstance(value, dict) else float(value)
    size = "none" if np.isnan(number) else str(1000 + int(np.clip(round_half(number), -999, 999)))
    return f"{chr(ord('a') + column % 26)}{size}"


def round_half(number: float) -> float:
    return float(np.rint(2 * number)) if np.isfinite(number) else np.sign(number) * 999


class OfTables:
    """Stand between the checks and an estimator: say that tables are taken, and spell them."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        return tags


class TableNgrams(OfTables, HashedNgrams):
    def fit(self, X, y=None):  # noqa: N803
        return super().fit(spell(X), y)

    def transform(self, X):  # noqa: N803
        return super().transform(spell(X))


class TableClassifier(OfTables, HostriskClassifier):
    def fit(self, X, y, sample_weight=None):  # noqa: N803
        return super().fit(spell(X), y, sample_weight)

    def predict(self, X):  # noqa: N803
        return super().predict(spell(X))

    def predict_proba(self, X):  # noqa: N803
        return super().predict_proba(spell(X))

    def decision_function(self, X):  # noqa: N803
        return super().decision_function(spell(X))


class PretrainedTableClassifier(TableClassifier):
    """One whose model knows nothing of the tables that are checked with."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class UncountedTableClassifier(TableClassifier):
    """One that the checks do not ask to refuse another number of columns."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        return tags


def expected_failures(estimator: Any) -> dict[str, str]:
    expected = dict(EXPECTED_FAILURES["all"])
    if is_classifier(estimator):
        expected |= EXPECTED_FAILURES["classifier"]
    if getattr(estimator, "model", None):
        expected |= EXPECTED_FAILURES["pretrained"]
    return expected


# Some checks cast NaN to whole numbers themselves.
ignore_casts = pytest.mark.filterwarnings("ignore:invalid value encountered in cast")


@ignore_casts
@checks.parametrize_with_checks(
    [TableNgrams(), TableNgrams(norm=None), TableClassifier(), TableClassifier(threshold=0.5)],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@ignore_casts
def test_checks_of_scikit_learn_on_a_loaded_model(folder: Path) -> None:
    estimator = PretrainedTableClassifier(model=folder)
    expected = expected_failures(estimator)
    results = checks.check_estimator(
        estimator, expected_failed_checks=expected, on_skip=None, on_fail=None
    )
    status = {(row["check_name"], row["status"]) for row in results}
    assert status >= {(name, "xfail") for name in expected}
    assert {name for name, found in status if found == "failed"} == set()
    assert {name for name, found in status if found == "skipped"} <= set(SKIPPED)
    assert sum(row["status"] == "passed" for row in results) > 35


@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.parametrize("options", [{}, {"readonly_memmap": True, "X_dtype": "float32"}])
def test_classifiers_train(threshold: float | None, options: dict[str, Any]) -> None:
    estimator = UncountedTableClassifier(threshold=threshold)
    checks.check_classifiers_train("UncountedTableClassifier", estimator, **options)


def test_array_api_input() -> None:
    code = (
        "from tests.test_sklearn import TableClassifier, TableNgrams, checks\n"
        "for estimator in (TableNgrams(), TableClassifier()):\n"
        "    checks.check_array_api_input(type(estimator).__name__, estimator, "
        "array_namespace='numpy', expect_only_array_outputs=False)\n"
    )
    environment = {**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)


def official_checks() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        return [
            pair
            for estimator in (HashedNgrams(), HostriskClassifier())
            for pair in checks.estimator_checks_generator(estimator)
        ]


# Those that need no table, on the estimators as they are.
PLAIN_CHECKS = [
    checks.check_estimator_tags_renamed, checks.check_valid_tag_types,
    checks.check_estimator_repr, checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params, checks.check_mixin_order,
    checks.check_parameters_default_constructible, checks.check_get_params_invariance,
    checks.check_set_params, checks.check_estimator_sparse_tag,
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "check"), official_checks())
def test_checks_that_the_tags_allow(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("check", PLAIN_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", [HashedNgrams, HostriskClassifier])
def test_checks_without_tables(kind: type, check: Any) -> None:
    check(kind.__name__, kind())


def test_docstring_names_the_checks_that_do_not_apply() -> None:
    named = set(EXPECTED_FAILURES["all"]) | set(EXPECTED_FAILURES["classifier"])
    assert all(name in str(HostriskClassifier.__doc__) for name in named)


@pytest.mark.parametrize("estimator", [HashedNgrams(), HostriskClassifier()])
def test_tags_say_texts(estimator: Any) -> None:
    tags = get_tags(estimator)
    given = tags.input_tags
    assert (given.string, given.one_d_array, given.two_d_array) == (True, True, False)
    assert tags.requires_fit == is_classifier(estimator)


@pytest.mark.parametrize("options", [{}, {"threshold": 0.5}, {"model": "default"}])
def test_tags_say_how_many_classes(options: dict[str, Any]) -> None:
    assert get_tags(HostriskClassifier(**options)).classifier_tags.multi_class == (not options)


# --- features ------------------------------------------------------------------------------------


def test_features_are_those_of_the_specification() -> None:
    texts = ["hang them all", "", "a b\u200bc k!ll 🔪", "word " * 300 + "end"]
    table = HashedNgrams(norm=None).transform(texts)
    assert (table.dtype, table.shape, table.format) == (np.float32, (4, SLOTS), "csr")
    assert table.has_canonical_format
    for row, text in zip(table, texts, strict=True):
        windows = map(slots_of, text_windows(text))
        assert set(row.indices.tolist()) == set().union(*windows)
        assert set(row.data.tolist()) <= {1.0}


def test_rows_have_length_one() -> None:
    table = HashedNgrams().transform([*TEXTS, None, ""])
    lengths = np.sqrt(table.multiply(table).sum(axis=1)).A1
    np.testing.assert_allclose(lengths, [1] * len(TEXTS) + [0, 0], rtol=1e-6)


WITH_NULL = ["hang them all", None, "tea and cake"]
COLUMNS_OF_TEXT = {
    "list": WITH_NULL,
    "tuple": tuple(WITH_NULL),
    "object array": np.array(WITH_NULL, dtype=object),
    "series": pd.Series(WITH_NULL, index=[7, 7, 9]),
    "series of object": pd.Series([WITH_NULL[0], float("nan"), WITH_NULL[2]], dtype=object),
    "series of string": pd.Series(WITH_NULL, dtype="string"),
    "series of category": pd.Series(WITH_NULL, dtype="category"),
    "pandas array": pd.array(WITH_NULL, dtype="string"),
    "index": pd.Index(WITH_NULL),
    "arrow": pa.array(WITH_NULL),
    "large": pa.array(WITH_NULL, pa.large_string()),
    "chunked": pa.chunked_array([WITH_NULL[:1], WITH_NULL[1:]]),
    "dictionary": pa.array(WITH_NULL).dictionary_encode(),
}


@pytest.mark.parametrize("column", COLUMNS_OF_TEXT.values(), ids=COLUMNS_OF_TEXT)
def test_columns_of_every_kind_read_the_same(column: Any) -> None:
    before = copy.deepcopy(column)
    expected = HashedNgrams().transform(WITH_NULL)
    found = HashedNgrams().fit(column).transform(column)
    assert (found != expected).nnz == 0
    assert found[1].nnz == 0
    pd.testing.assert_series_equal(pd.Series(list(column)), pd.Series(list(before)))


def test_arrays_of_strings() -> None:
    expected = HashedNgrams().transform(TEXTS)
    assert (HashedNgrams().transform(np.array(TEXTS)) != expected).nnz == 0
    assert (HashedNgrams().transform([np.str_(text) for text in TEXTS]) != expected).nnz == 0


def test_polars() -> None:
    pl = pytest.importorskip("polars")
    expected = HashedNgrams().transform(WITH_NULL)
    assert (HashedNgrams().transform(pl.Series(WITH_NULL)) != expected).nnz == 0


def test_no_texts_give_no_rows() -> None:
    assert HashedNgrams().transform([]).shape == (0, SLOTS)


REFUSED = {
    "one text": ("hang them all", "X is one str; give a list of texts"),
    "bytes": (b"hang", "X is one bytes"),
    "two dimensions": (np.array([["a"], ["b"]]), r"X has the shape \(2, 1\); give one column"),
    "frame": (pd.DataFrame({"text": ["a"]}), r"X has the shape \(1, 1\); give one column"),
    "table": (pa.table({"text": ["a"]}), r"X has the shape \(1, 1\); give one column"),
    "no dimension": (np.array("a"), r"X has the shape \(\); give one column"),
    "sparse": (sparse.csr_matrix((2, 2)), "X is a sparse matrix, not text"),
    "list of lists": ([["a"], ["b"]], "item 0 of X is of type list; texts must be str"),
    "numbers": (np.arange(3.0), "item 0 of X is of type float"),
    "one number": (["a", None, 3], "item 2 of X is of type int"),
    "arrow numbers": (pa.array([None, 2]), "item 1 of X is of type int"),
    "bytes within": (["a", b"b"], "item 1 of X is of type bytes"),
    "set": ({"a", "b"}, "X is of type set; give a list of texts"),
    "none": (None, "X is of type NoneType; give a list of texts"),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_column_of_texts_is_refused(given: Any, sentence: str) -> None:
    for use in (
        HashedNgrams().transform,
        HashedNgrams().fit,
        lambda column: HostriskClassifier().fit(column, [0, 1]),
        trained().predict,
    ):
        with pytest.raises(InputError, match=sentence):
            use(given)


def test_unknown_norm() -> None:
    with pytest.raises(InputError, match="norm is 'l1'; it must be 'l2' or None"):
        HashedNgrams(norm="l1").fit_transform(TEXTS)


def test_slots_have_no_names() -> None:
    assert not hasattr(HashedNgrams(), "get_feature_names_out")
    assert not hasattr(HashedNgrams(), "set_output")


# --- training ------------------------------------------------------------------------------------


def trained(**options: Any) -> HostriskClassifier:
    return HostriskClassifier(**{"C": 10.0, **options}).fit(TEXTS, LABELS)


def test_training_learns() -> None:
    classifier = trained()
    assert classifier.predict(TEXTS).tolist() == LABELS
    chances = classifier.predict_proba(TEXTS)
    assert chances.shape == (len(TEXTS), 2)
    logits = np.log(chances[:, 1] / chances[:, 0])
    np.testing.assert_allclose(classifier.decision_function(TEXTS), logits)


def test_training_is_logistic_regression_on_all_slots() -> None:
    # Leaving out the columns that no text has must not change what is learned.
    table = HashedNgrams().transform(TEXTS).astype(float)
    whole = LogisticRegression(C=10.0, max_iter=1000).fit(table, LABELS)
    new = ["hang the train", "cake for all", "zzz", None]
    np.testing.assert_allclose(
        trained().predict_proba(new),
        whole.predict_proba(HashedNgrams().transform(new).astype(float)),
        rtol=1e-6,
    )


def test_labels_of_any_kind() -> None:
    names = np.where(LABELS, "violent", "peaceful")
    classifier = HostriskClassifier(C=10.0).fit(TEXTS, names)
    assert classifier.classes_.tolist() == ["peaceful", "violent"]
    assert classifier.predict(TEXTS).tolist() == names.tolist()
    assert classifier.set_params(threshold=0.0).predict(["x"]).tolist() == ["violent"]
    three = HostriskClassifier().fit(TEXTS[:9], [0, 1, 2] * 3)
    assert three.predict_proba(TEXTS).shape == (len(TEXTS), 3)


def test_threshold_moves_the_prediction() -> None:
    classifier = trained(threshold=0.9)
    chances = classifier.predict_proba(TEXTS)[:, 1]
    for threshold in (0, 0.3, float(chances[0]), 0.9, 1):
        predicted = classifier.set_params(threshold=threshold).predict(TEXTS)
        assert predicted.tolist() == (chances >= threshold).astype(int).tolist()


@pytest.mark.parametrize(
    ("options", "labels", "sentence"),
    [
        ({"threshold": 1.5}, LABELS, "threshold is 1.5; it must be from 0 to 1"),
        ({"threshold": 0.5}, [0, 1, 2, 3] * 4, "Only binary classification .* y has 4; leave"),
        ({"model": "default"}, [0, 1, 2, 3] * 4, "Only binary classification .* y has 4; leave"),
        ({"model": "default"}, ["a", "b"] * 8, "has the labels 0 and 1, and y has .'a' 'b'.; to"),
        ({}, None, "requires y to be passed"),
    ],
)
def test_impossible_settings(options: dict[str, Any], labels: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        HostriskClassifier(**options).fit(TEXTS, labels)


def test_threshold_set_on_more_than_two_classes() -> None:
    classifier = HostriskClassifier().fit(TEXTS[:9], [0, 1, 2] * 3).set_params(threshold=0.5)
    with pytest.raises(InputError, match="Only binary classification"):
        classifier.predict(TEXTS)


def test_texts_without_features() -> None:
    with pytest.raises(InputError, match="no text in X has a feature"):
        HostriskClassifier().fit(["", None], [0, 1])
    with pytest.raises(InputError, match="X holds no text, and at least one is needed"):
        trained().predict([])
    alone = trained().decision_function([None, ""])
    np.testing.assert_allclose(alone, trained().linear_.intercept_.repeat(2))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        HostriskClassifier().fit(TEXTS, LABELS[1:])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_not_fitted(method: str) -> None:
    for options in ({}, {"model": "default"}):
        with pytest.raises(NotFittedError):
            getattr(HostriskClassifier(**options), method)(TEXTS)


def test_failed_fit_leaves_no_half_of_an_earlier_one(tmp_path: Path) -> None:
    classifier = trained()
    with pytest.raises(InputError):
        classifier.fit(["", ""], [0, 1])
    with pytest.raises(NotFittedError):
        classifier.predict(TEXTS)
    with pytest.raises(ModelError):
        classifier.set_params(model=tmp_path).fit(TEXTS, LABELS)
    with pytest.raises(NotFittedError):
        classifier.predict(TEXTS)


def test_weights_of_rows_and_classes() -> None:
    plain = trained().predict_proba(["x"])[0, 1]
    heavy = np.where(LABELS, 5.0, 1.0)
    by_row = HostriskClassifier(C=10.0).fit(TEXTS, LABELS, sample_weight=heavy)
    by_class = trained(class_weight={0: 1, 1: 5})
    assert by_row.predict_proba(["x"])[0, 1] > plain
    np.testing.assert_allclose(by_row.predict_proba(TEXTS), by_class.predict_proba(TEXTS))


# --- with the rest of scikit-learn ---------------------------------------------------------------

KINDS_OF_X = {
    "list": TEXTS,
    "series": pd.Series(TEXTS, index=range(100, 100 + len(TEXTS))),
    "array": np.array(TEXTS, dtype=object),
}


@pytest.mark.parametrize("texts", KINDS_OF_X.values(), ids=KINDS_OF_X)
def test_cross_validation_and_search(texts: Any) -> None:
    scores = cross_val_score(HostriskClassifier(), texts, LABELS, cv=2, scoring="roc_auc")
    assert scores.shape == (2,)
    grid = {"C": [0.1, 10.0], "threshold": [0.4, 0.5]}
    search = GridSearchCV(HostriskClassifier(), grid, cv=2, error_score="raise")
    assert search.fit(texts, LABELS).predict(texts).tolist() == LABELS


@pytest.mark.parametrize("texts", KINDS_OF_X.values(), ids=KINDS_OF_X)
def test_pipeline(texts: Any) -> None:
    pipeline = make_pipeline(HashedNgrams(), LogisticRegression(C=10.0, solver="liblinear"))
    grid = {"hashedngrams__norm": ["l2", None], "logisticregression__C": [10.0, 100.0]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(texts, LABELS)
    assert search.score(texts, LABELS) == 1
    assert make_pipeline(HostriskClassifier(C=10.0)).fit(texts, LABELS).score(texts, LABELS) == 1


@pytest.mark.parametrize("texts", KINDS_OF_X.values(), ids=KINDS_OF_X)
def test_calibration(texts: Any) -> None:
    calibrated = CalibratedClassifierCV(HostriskClassifier(), cv=2).fit(texts, LABELS)
    assert calibrated.predict_proba(texts).shape == (len(TEXTS), 2)


def test_clone_and_pickle() -> None:
    classifier = trained(threshold=0.4)
    copied = clone(classifier)
    assert copied.get_params() == classifier.get_params()
    assert not hasattr(copied, "classes_")
    for same in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        np.testing.assert_array_equal(same.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


# --- models of hostrisk --------------------------------------------------------------------------


def build_model(path: Path, *, threshold: float = 0.6) -> Path:
    """Save what trained() learns as a model folder, in whole numbers as those are."""
    classifier = trained()
    (coefficients,) = classifier.linear_.coef_
    scale = float(abs(coefficients).max() / 127)
    main = np.zeros(SLOTS, dtype=np.int8)
    main[classifier.slots_] = np.rint(coefficients / scale)
    places = {"main": ([SLOTS], [0, SLOTS]), "heads": ([1, 2], [SLOTS, SLOTS + 2])}
    header = json.dumps(
        {
            name: {"dtype": "I8", "shape": shape, "data_offsets": offsets}
            for name, (shape, offsets) in places.items()
        }
    ).encode()
    head = {"scale": 1.0, "bias": 0.0, "threshold": 0.5}
    manifest = {
        "name": "tiny",
        "main": {"scale": scale, "bias": float(classifier.linear_.intercept_[0])},
        "calibration": {"slope": 1.0, "intercept": 0.0},
        "heads": {
            "rows": 1,
            "kinds": [{"name": "threat", **head}],
            "targets": [{"name": "person", **head}],
        },
        "thresholds": {"default": {"threshold": threshold}},
    }
    tensors = b"".join([len(header).to_bytes(8, "little"), header, main.tobytes(), b"\0\0"])
    save_artifact(path, manifest, tensors)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "tiny")


def test_loaded_model_scores_as_hostrisk_does(folder: Path) -> None:
    loaded = HostriskClassifier.from_pretrained(folder)
    assert isinstance(loaded.classifier_, Classifier)
    assert loaded.classes_.tolist() == [0, 1]
    chances = loaded.predict_proba(TEXTS)
    assert chances[:, 1].tolist() == loaded.classifier_.score(TEXTS)
    np.testing.assert_array_equal(chances.sum(axis=1), 1)
    np.testing.assert_allclose(chances, trained().predict_proba(TEXTS), atol=0.05)
    logits = loaded.decision_function(TEXTS)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), chances[:, 1])


def test_loaded_model_predicts_at_its_threshold(folder: Path, tmp_path: Path) -> None:
    strict = build_model(tmp_path / "strict", threshold=0.99)
    for path, threshold, limit in ((folder, None, 0.6), (strict, None, 0.99), (strict, 0.1, 0.1)):
        loaded = HostriskClassifier.from_pretrained(path, threshold=threshold)
        expected = loaded.predict_proba(TEXTS)[:, 1] >= limit
        assert loaded.predict(TEXTS).tolist() == expected.astype(int).tolist()
    with pytest.raises(InputError, match="threshold is 2; it must be from 0 to 1"):
        HostriskClassifier.from_pretrained(folder, threshold=2)


def test_logits_of_certain_scores_are_finite(folder: Path) -> None:
    loaded = HostriskClassifier.from_pretrained(folder)
    scorer = loaded.classifier_.artifact.scorer
    for bias in (-5000.0, 5000.0):
        artifact = loaded.classifier_.artifact._replace(scorer=scorer._replace(bias=bias))
        loaded.classifier_ = Classifier(artifact)
        (logit,) = loaded.decision_function(["x"])
        assert np.isfinite(logit)
        assert np.sign(logit) == np.sign(bias)


def test_null_is_an_empty_text_to_a_loaded_model(folder: Path) -> None:
    loaded = HostriskClassifier.from_pretrained(folder)
    null, empty = loaded.predict_proba([None, ""])
    assert null.tolist() == empty.tolist()


def test_fit_of_a_loaded_model_learns_nothing(folder: Path) -> None:
    loaded = HostriskClassifier.from_pretrained(folder)
    before = loaded.predict_proba(TEXTS)
    flipped = [1 - label for label in LABELS]
    assert loaded.fit(TEXTS, flipped) is loaded
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), before)
    np.testing.assert_array_equal(clone(loaded).fit(TEXTS, [0] * 16).predict_proba(TEXTS), before)
    folds = cross_val_predict(loaded, TEXTS, LABELS, cv=2, method="predict_proba")
    np.testing.assert_array_equal(folds, before)


def test_fit_follows_the_model_parameter(folder: Path) -> None:
    classifier = HostriskClassifier.from_pretrained(folder).set_params(model=None)
    assert not hasattr(classifier.fit(TEXTS, LABELS), "classifier_")
    assert not hasattr(classifier.set_params(model=folder).fit(TEXTS, LABELS), "linear_")


def test_loaded_model_can_be_recalibrated(folder: Path) -> None:
    loaded = HostriskClassifier.from_pretrained(folder)
    calibrated = CalibratedClassifierCV(loaded, cv=2).fit(TEXTS, LABELS)
    assert calibrated.predict(TEXTS).tolist() == LABELS


def test_pickle_of_a_loaded_model_names_it(tmp_path: Path) -> None:
    path = build_model(tmp_path / "model")
    loaded = HostriskClassifier.from_pretrained(path)
    data = pickle.dumps(loaded)
    assert len(data) < 2000
    for same in (pickle.loads(data), copy.deepcopy(loaded)):
        assert same.predict_proba(TEXTS).tolist() == loaded.predict_proba(TEXTS).tolist()
    shutil.rmtree(path)
    build_model(path, threshold=0.7)
    with pytest.raises(ModelError, match=r"the pickle was made with the model tiny-.* now holds"):
        pickle.loads(data)


@needs_bundled
def test_bundled_model() -> None:
    loaded = HostriskClassifier.from_pretrained()
    assert loaded.predict_proba(TEXTS)[:, 1].tolist() == hostrisk.score(TEXTS)
    flagged = [decision.flagged for decision in hostrisk.load().decide(TEXTS)]
    assert loaded.predict(TEXTS).tolist() == flagged
    same = pickle.loads(pickle.dumps(loaded))
    assert same.classifier_.model_id == loaded.classifier_.model_id
    assert bundled_path().encode() not in pickle.dumps(loaded)


def test_missing_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hostrisk.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*hostrisk\[sklearn\]"):
        importlib.import_module("hostrisk.sklearn")
