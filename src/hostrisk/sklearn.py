"""Scikit-learn estimators: the features of hostrisk for models of your own, and its classifier.

>>> from hostrisk.sklearn import HashedNgrams, HostriskClassifier
>>> HashedNgrams().transform(["hang them all", None]).shape
(2, 1048576)
"""

# ruff: noqa: N803  # X and C are the names that scikit-learn asks for

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hostrisk.classifier import load, source_of
from hostrisk.errors import InputError, MissingExtraError, ModelError
from hostrisk.features import SLOTS
from hostrisk.linear import features

try:
    from scipy.sparse import csr_matrix, issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d
except ImportError as error:
    raise MissingExtraError("hostrisk.sklearn", package="scikit-learn", extra="sklearn") from error

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["HashedNgrams", "HostriskClassifier"]

_ITERATIONS = 1_000


class _TakesTexts:
    """Tell scikit-learn that X is one column of texts, not a table of numbers."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


class HashedNgrams(_TakesTexts, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn texts into the features that hostrisk scores with, as a sparse matrix.

    A feature, a word, a pair of words or a run of letters, is a slot of 2**20; a text has it or
    not, however often, and a long text has those of all of its windows. A null is an empty row.
    Nothing is learned, so fit is not needed. Several features share a slot and none can be read
    back from it, so there is no ``get_feature_names_out``, and hence no pandas output.

    :param norm: ``"l2"`` for rows of length 1, which the models are trained on; None for rows of
        zeros and ones.
    """

    def __init__(self, *, norm: str | None = "l2") -> None:
        self.norm = norm

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  # y is part of the protocol
        """Check the texts and the settings, and learn nothing.

        :raises InputError: X is not one column of texts, or norm is unknown.
        """
        _read_texts(X)
        self._check_norm()
        return self

    def transform(self, X: Any) -> csr_matrix:
        """Return the features of texts: float32, of shape (texts, 2**20).

        :param X: a list, a pandas Series, a NumPy array of strings or an Arrow array; None and
            what pandas calls missing is null.
        :raises InputError: X is not one column of texts, or norm is unknown.
        """
        texts = _read_texts(X)
        self._check_norm()
        pointers, slots = features(texts)
        starts = np.frombuffer(pointers, dtype=np.int64)
        indices = np.frombuffer(slots, dtype=np.uint32).astype(np.int32)
        values = np.ones(len(indices), dtype=np.float32)
        if self.norm == "l2":
            sizes = np.diff(starts)
            values = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes).astype(np.float32)
        return csr_matrix((values, indices, starts), shape=(len(texts), SLOTS))

    def _check_norm(self) -> None:
        if self.norm not in ("l2", None):
            raise InputError(f"norm is {self.norm!r}; it must be 'l2' or None")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []  # it is float32 whatever comes in
        return tags


class HostriskClassifier(_TakesTexts, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify texts with a model of hostrisk, or with one trained on labels of your own.

    Which of the two is what ``model`` says, also to clones and so to searches and cross-validation:

    - None: ``fit`` trains a logistic regression on :class:`HashedNgrams`, for labels of any kind.
    - ``"default"`` or a folder: ``fit`` loads that model and checks that labels are 0 and 1, and
      learns nothing. :meth:`from_pretrained` gives one that needs no fit.

    A null counts as an empty text. Of scikit-learn's checks of estimators, which feed tables of
    numbers, these do not apply, since a text has no columns, infinity or complex value:
    check_n_features_in, check_n_features_in_after_fitting, check_complex_data,
    check_estimators_nan_inf, check_estimators_empty_data_messages, check_fit2d_predict1d and the
    count of columns in check_classifiers_train; nor, where a model is named, those that learn.

    :param model: None, ``"default"`` for the bundled model, or the path of a model folder.
    :param threshold: probability of the second of two classes from which on it is predicted; None
        for the threshold of the model, or the more probable class of one trained here.
    :param C: inverse strength of regularization in training.
    :param class_weight: weights of the classes in training, as in LogisticRegression.

    Fitted, it has ``classes_`` and either ``classifier_``, the :class:`hostrisk.Classifier`, or
    ``linear_``, the LogisticRegression, with ``slots_``, the features that its columns stand for.
    """

    def __init__(
        self,
        *,
        model: str | os.PathLike[str] | None = None,
        threshold: float | None = None,
        C: float = 1.0,
        class_weight: dict[Any, float] | str | None = None,
    ) -> None:
        self.model = model
        self.threshold = threshold
        self.C = C
        self.class_weight = class_weight

    @classmethod
    def from_pretrained(
        cls, model: str | os.PathLike[str] = "default", *, threshold: float | None = None
    ) -> Self:
        """Return a classifier that scores with a model of hostrisk and needs no fit.

        :raises ModelError: the folder must not be loaded.
        :raises InputError: threshold is no probability.
        """
        return cls(model=model, threshold=threshold)._load(model)  # noqa: SLF001  # of its own

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on texts and labels, or only load the model where one is named.

        :param sample_weight: weight of each text in training.
        :raises InputError: X is not one column of texts, a setting is impossible, or labels are
            not those of the model.
        :raises ModelError: the model named must not be loaded.
        """
        texts = _at_least_one(X)
        if y is None:
            raise InputError("HostriskClassifier requires y to be passed, but the target y is None")
        labels = column_or_1d(y, warn=True)
        check_consistent_length(texts, labels)
        check_classification_targets(labels)
        self._check_threshold(classes := np.unique(labels))
        for name in ("classifier_", "linear_", "slots_", "classes_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        if self.model is None:
            return self._train(texts, labels, sample_weight)
        if not np.isin(classes, (0, 1)).all():
            raise InputError(
                f"a model of hostrisk has the labels 0 and 1, and y has {classes!s:.60}; to train "
                "on labels of your own, leave model at None"
            )
        return self._load(self.model)

    def _check_threshold(self, classes: NDArray[Any]) -> None:
        if self.model is None and self.threshold is None:
            return
        if len(classes) > 2:
            raise InputError(
                "Only binary classification is supported. Models of hostrisk and thresholds are "
                f"for two classes, and y has {len(classes)}; leave both at None"
            )
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; it must be from 0 to 1")

    def _load(self, model: str | os.PathLike[str]) -> Self:
        classes = np.array([0, 1])
        self._check_threshold(classes)
        self.classifier_ = load(model)
        self.classes_ = classes
        return self

    def _train(self, texts: list[str | None], labels: Any, sample_weight: Any) -> Self:
        table = HashedNgrams().transform(texts)
        # Only slots that occur can get a weight; a million columns would make training slow.
        slots = np.unique(table.indices)
        if not len(slots):
            raise InputError("no text in X has a feature to learn from; all are empty")
        linear = LogisticRegression(C=self.C, class_weight=self.class_weight, max_iter=_ITERATIONS)
        self.linear_ = linear.fit(table[:, slots].astype(np.float64), labels, sample_weight)
        self.slots_ = slots
        self.classes_ = self.linear_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each text."""
        check_is_fitted(self)
        self._check_threshold(self.classes_)
        threshold = self.threshold
        if hasattr(self, "classifier_") and threshold is None:
            threshold = self.classifier_.threshold
        if threshold is None:
            chosen: NDArray[Any] = self.linear_.predict(self._columns(X))
            return chosen
        reached = self.predict_proba(X)[:, 1] >= threshold
        found: NDArray[Any] = self.classes_[reached.astype(np.intp)]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, in the order of ``classes_``."""
        check_is_fitted(self)
        if hasattr(self, "classifier_"):
            scores = self._scores(X)
            return np.column_stack([1 - scores, scores])
        found: NDArray[np.float64] = self.linear_.predict_proba(self._columns(X))
        return found

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the logit of the second of two classes, or of each of more; 0 is even odds."""
        check_is_fitted(self)
        if hasattr(self, "classifier_"):
            scores = np.clip(self._scores(X), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
            logits: NDArray[np.float64] = np.log(scores) - np.log1p(-scores)
            return logits
        found: NDArray[np.float64] = self.linear_.decision_function(self._columns(X))
        return found

    def _scores(self, X: Any) -> NDArray[np.float64]:
        texts = ["" if text is None else text for text in _at_least_one(X)]
        return np.array(self.classifier_.score(texts), dtype=np.float64)

    def _columns(self, X: Any) -> csr_matrix:
        table = HashedNgrams().transform(_at_least_one(X))
        return table[:, self.slots_].astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self.model is None and self.threshold is None
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if "classifier_" in state:  # weights are mapped from their file, which pickle cannot do
            artifact = state["classifier_"].artifact
            state["classifier_"] = (*source_of(artifact), artifact.model_id)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "classifier_" in state:
            path, tier, model_id = state["classifier_"]
            self.classifier_ = load(path, tier=tier)
            if self.classifier_.model_id != model_id:
                raise ModelError(
                    f"the pickle was made with the model {model_id}, and {path} now holds "
                    f"{self.classifier_.model_id}; make it again with this one"
                )


def _read_texts(X: Any) -> list[str | None]:
    """Return one column of texts as a list, None for null."""
    if isinstance(X, str | bytes):
        raise InputError(f"X is one {type(X).__name__}; give a list of texts, even of one")
    if issparse(X):
        raise InputError("X is a sparse matrix, not text")
    if len(shape := getattr(X, "shape", (0,))) != 1:
        raise InputError(f"X has the shape {shape}; give one column of texts, of the shape (n,)")
    texts = _as_list(X)
    for at, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"item {at} of X is of type {type(text).__name__}; texts must be str, or None "
                "where there is none"
            )
    return texts


def _as_list(X: Any) -> list[Any]:
    if hasattr(X, "isna"):  # pandas, whose nulls are of many kinds
        values = np.array(X, dtype=object)
        values[np.asarray(X.isna())] = None
        return list(values)
    for name in ("to_pylist", "to_list", "tolist"):  # Arrow, polars, NumPy
        if hasattr(X, name):
            return list(getattr(X, name)())
    if isinstance(X, Sequence):
        return list(X)
    if hasattr(X, "__array__"):
        return list(np.atleast_1d(np.asarray(X)))
    raise InputError(
        f"X is of type {type(X).__name__}; give a list of texts, a pandas Series, a NumPy array of "
        "strings or an Arrow array"
    )


def _at_least_one(X: Any) -> list[str | None]:
    texts = _read_texts(X)
    if not texts:
        raise InputError("X holds no text, and at least one is needed")
    return texts
