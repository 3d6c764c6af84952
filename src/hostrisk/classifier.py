"""The class that most users see: a model and a policy; score, decide, explain."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, overload

from hostrisk._reference import probability
from hostrisk.artifact import ACCURATE, CASCADE, FAST, Artifact, bundled_path, load_artifact
from hostrisk.decide import decide_one, judge, resolve_threshold
from hostrisk.errors import InputError
from hostrisk.policy import Policy, load_policy
from hostrisk.records import Decision, Explanation

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["Classifier", "load", "score", "source_of"]


class Classifier:
    """A model and a policy, both fixed.

    >>> import hostrisk
    >>> clf = hostrisk.load()
    >>> clf.decide("they should all be shot on sight").flagged
    True
    """

    def __init__(self, artifact: Artifact, policy: Policy | None = None) -> None:
        self.artifact = artifact
        self.policy = policy or Policy()
        self.threshold = resolve_threshold(artifact, self.policy)
        self._policy_id = self.policy.id  # a hash, too costly to make for every text
        self._score_one = artifact.scorer.score_one

    def __repr__(self) -> str:
        return f"<Classifier {self.model_id}, policy {self.policy.id}>"

    @property
    def model_id(self) -> str:
        """Name of the model with a hash of all that it consists of."""
        return self.artifact.model_id

    @property
    def encoded_share(self) -> float | None:
        """Share of the texts scored so far that an encoder read; None where nothing was scored."""
        if self.artifact.tier != CASCADE:
            return float(self.artifact.tier == ACCURATE)
        scorer: Any = self.artifact.scorer
        return scorer.encoded / scorer.rows if scorer.rows else None

    @overload
    def score(self, texts: str, *, threads: int = 1) -> float: ...
    @overload
    def score(
        self, texts: list[str] | list[str | None] | tuple[str | None, ...], *, threads: int = 1
    ) -> list[float | None]: ...
    @overload
    def score(self, texts: Any, *, threads: int = 1) -> Any: ...

    def score(self, texts: Any, *, threads: int = 1) -> Any:
        """Return the probability that a text is violent incitement, for one text or many.

        A ``str`` gives a float; a list or tuple a list; a pandas Series a Series with its index; a
        NumPy array of strings a float64 array of its shape; an Arrow array, a polars Series or
        anything that exports Arrow a float64 Arrow array. Null gives null, in NumPy NaN. A long
        text is scored by overlapping windows and has the probability of the highest.

        :param threads: threads that score; only many texts at once gain from more than one.
        :raises InputError: something is neither text nor null; names the place.
        """
        if type(texts) is str:
            return self._score_one(texts)
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads is {threads!r}; it must be a whole number of at least 1")
        if isinstance(texts, list | tuple):
            return self._score_list(texts, threads)
        return self._score_other(texts, threads)

    def _score_list(self, texts: Sequence[str | None], threads: int) -> list[float | None]:
        try:
            return self.artifact.scorer.score_list(texts, threads=threads)
        except (TypeError, AttributeError):
            _check_texts(texts)
            raise

    def _score_other(self, texts: Any, threads: int) -> Any:
        if isinstance(texts, str):  # a subclass, such as numpy.str_
            return self._score_one(str(texts))
        if (pandas := sys.modules.get("pandas")) and isinstance(texts, pandas.Series):
            return self._score_series(pandas, texts, threads)
        if (numpy := sys.modules.get("numpy")) and isinstance(texts, numpy.ndarray):
            return self._score_ndarray(numpy, texts, threads)
        if hasattr(texts, "__arrow_c_array__") or hasattr(texts, "__arrow_c_stream__"):
            from hostrisk.arrow import score_column

            return score_column(self.artifact.scorer, texts, threads=threads)
        raise InputError(
            f"an object of type {type(texts).__name__} cannot be scored; give a str, a list, a "
            "pandas Series, a NumPy array of strings or an Arrow array"
        )

    def _score_series(self, pandas: Any, series: Any, threads: int) -> Any:
        scores = self._score_list(_as_list(series), threads)
        return pandas.Series(scores, index=series.index, name="score", dtype="float64")

    def _score_ndarray(self, numpy: Any, array: Any, threads: int) -> Any:
        scores = self._score_list(_as_list(array), threads)
        return numpy.array(scores, dtype=numpy.float64).reshape(array.shape)

    @overload
    def decide(
        self,
        texts: str,
        *,
        threshold: float | None = None,
        at: str | None = None,
        threads: int = 1,
    ) -> Decision: ...
    @overload
    def decide(
        self,
        texts: Any,
        *,
        threshold: float | None = None,
        at: str | None = None,
        scores: Any = None,
        threads: int = 1,
    ) -> list[Decision]: ...

    def decide(
        self,
        texts: Any,
        *,
        threshold: float | None = None,
        at: str | None = None,
        scores: Any = None,
        threads: int = 1,
    ) -> Decision | list[Decision]:
        """Decide about one text or many: flagged or not, and if so of which kind and against whom.

        A text in a language that the model was not trained for has ``supported=False``, and is
        either flagged or undecided (``flagged=None``), never found harmless.

        :param threshold: probability from which on a text is flagged; that of the policy if None.
        :param at: name of a threshold that the model carries, such as ``"evidence"`` or
            ``"review"``, in place of a number.
        :param scores: what ``score`` returned for these texts, where it is known already.
        :raises InputError: a threshold is no probability or not known, or something is no text.
        """
        limit = resolve_threshold(self.artifact, self.policy, threshold, at)

        def judge_text(
            text: str | None, score: float | None, *, supported: bool | None
        ) -> Decision:
            return decide_one(
                self.artifact, self.policy, text, score, threshold=limit,
                policy_id=self._policy_id, supported=supported,
            )  # fmt: skip

        if isinstance(texts, str):
            return judge_text(texts, self.score(texts), supported=self._supports([texts])[0])
        listed = _as_list(texts)
        if scores is None:
            known = self._score_list(listed, threads)
        else:
            _check_texts(listed)
            known = _known_scores(scores, len(listed))
        return [
            judge_text(text, score, supported=supported)
            for text, score, supported in zip(listed, known, self._supports(listed), strict=True)
        ]

    def _supports(self, texts: list[str | None]) -> list[bool | None]:
        """Say which texts are in a language of the model; None where it cannot tell."""
        if self.artifact.vocabulary is None:
            return [None] * len(texts)
        return self.artifact.vocabulary.supports(texts)

    def explain(self, text: str) -> Explanation:
        """Return the words that carry the score of a text.

        The weights of the spans and the bias add up to the logit of the score. Of a long text only
        the window that scored highest is explained. Where an encoder scored, a word weighs what
        the logit loses when it is left out.

        :raises InputError: not a str.
        """
        from hostrisk.evidence import find_evidence

        if not isinstance(text, str):
            raise InputError(f"only a str can be explained, not {type(text).__name__}")
        logit, bias, spans, window, method = find_evidence(self.artifact.scorer, text)
        kind, targets = judge(self.artifact, self.policy, text)
        score = probability(logit)
        return Explanation(text, score, logit, bias, spans, kind, targets, window, method)


def _check_texts(texts: Sequence[Any]) -> None:
    for at, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"item {at} is of type {type(text).__name__}; texts must be str, or None where "
                "there is none"
            )


def _as_list(texts: Any) -> list[str | None]:
    """Return texts, however they are kept, as a list with None for null."""
    if isinstance(texts, list | tuple):
        return list(texts)
    listed: list[str | None]
    if (pandas := sys.modules.get("pandas")) and isinstance(texts, pandas.Series):
        values = texts.astype(object)
        listed = values.where(values.notna(), None).tolist()
        return listed
    if (numpy := sys.modules.get("numpy")) and isinstance(texts, numpy.ndarray):
        if texts.dtype.kind not in "UOT":
            raise InputError(f"the array holds {texts.dtype}, not text")
        return [None if _is_nan(value) else value for value in texts.ravel().tolist()]
    if hasattr(texts, "__arrow_c_array__") or hasattr(texts, "__arrow_c_stream__"):
        from hostrisk.arrow import text_list

        return text_list(texts)
    raise InputError(f"an object of type {type(texts).__name__} holds no texts to decide about")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124  # only NaN differs


def _known_scores(scores: Any, count: int) -> list[float | None]:
    for name in ("to_pylist", "tolist"):  # Arrow; NumPy and pandas
        if hasattr(scores, name):
            scores = getattr(scores, name)()
            break
    if len(scores) != count:
        raise InputError(f"there are {len(scores)} scores for {count} texts")
    return [None if _is_nan(score) else score for score in scores]


# Names of bundled models: folder and tier.
_BUNDLED = {
    "default": ("default", FAST),
    "fast": ("default", FAST),
    "accurate": ("accurate", ACCURATE),
    "cascade": ("accurate", CASCADE),
}


def load(
    model: str | os.PathLike[str] = "default",
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    tier: str | None = None,
) -> Classifier:
    """Load a classifier: a bundled model, or that of a folder.

    ``fast``, the default, scores n-grams in microseconds. ``accurate`` reads with a small
    transformer too, in milliseconds; ``cascade`` does so only where the fast model is not sure.
    Both need ``pip install "hostrisk[accurate]"``.

    :param model: ``"default"`` or ``"fast"``, ``"accurate"``, ``"cascade"``, or the path of a
        model folder.
    :param policy: a Policy, or the path of a TOML file; the default policy if None.
    :param tier: of a folder with an encoder: ``fast``, ``accurate`` (if None) or ``cascade``.
    :raises ModelError: the folder must not be loaded, or has no such tier.
    :raises MissingExtraError: the tier needs a package that is not installed.
    :raises PolicyError: the policy has unknown keys or impossible values.
    """
    if policy is not None and not isinstance(policy, Policy):
        policy = load_policy(policy)
    if model in _BUNDLED:
        name, own = _BUNDLED[str(model)]
        return Classifier(load_artifact(bundled_path(name), tier or own), policy)
    return Classifier(load_artifact(model, tier), policy)


def source_of(artifact: Artifact) -> tuple[str, str]:
    """Return the model and tier with which ``load`` finds an artifact again."""
    for name, (folder, tier) in _BUNDLED.items():
        if (artifact.path, artifact.tier) == (bundled_path(folder), tier):
            return name, tier
    return artifact.path, artifact.tier


_bundled: Classifier | None = None


def score(texts: Any, *, threads: int = 1) -> Any:
    """Score with the bundled model, which is loaded once; see :meth:`Classifier.score`."""
    global _bundled  # noqa: PLW0603  # one cache for a whole process is the point
    if _bundled is None:
        _bundled = load()
    return _bundled.score(texts, threads=threads)
