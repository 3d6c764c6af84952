"""Model folders: data only, checked whole before anything is built.

A folder of format 1, a fast model, holds ``manifest.json`` (what the model is, and the hash of
every other file) and ``weights.safetensors``. Format 2 adds an encoder: ``encoder.onnx`` and
``tokenizer.json``; its n-gram part reads as format 1 does. The model id is a hash of the manifest,
so it covers every byte.

How to change a format: a reader of format N must read every folder of format N ever written. When
a change would break that, (1) take a new number, (2) keep the present reader under its old number
in ``_READERS``, (3) keep a small folder of the old format under ``tests/artifacts/``, whose test
scores its golden texts, and (4) say so in CHANGELOG.md.

Loading goes: manifest -> files (names, sizes, hashes) -> tensors (types, shapes) -> numbers
(finite, in range) -> Artifact. The first fault is a ModelError that names the file and the fault.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk._checks import (
    MANIFEST,
    Fields,
    check_files,
    map_tensors,
    parse_object,
    read_manifest,
)
from hostrisk.errors import ModelError
from hostrisk.features import FEATURE_ID, SLOTS
from hostrisk.language import Vocabulary
from hostrisk.linear import LinearScorer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hostrisk.classifier import Classifier
    from hostrisk.linear import Scorer

__all__ = [
    "ACCURATE", "CASCADE", "FAST", "WORDS", "Artifact", "Head", "bundled_path", "load_artifact",
    "save_artifact", "save_with_golden", "verify",
]  # fmt: skip

FAST, ACCURATE, CASCADE = "fast", "accurate", "cascade"
WEIGHTS, WORDS = "weights.safetensors", "words"
GRAPH, PIECES = "encoder.onnx", "tokenizer.json"
_MOST_COLUMNS = 256
_MOST_WINDOW = 512
_TOLERANCE = 1e-9
_ENCODER_TOLERANCE = 0.02  # 8-bit products are rounded differently by different processors


class Head(NamedTuple):
    """One column of the table of heads: its name and how its sum becomes a logit."""

    name: str
    scale: float
    bias: float
    threshold: float


class Artifact(NamedTuple):
    """A model that was checked whole: what it scores with, and what is known about it."""

    path: str
    model_id: str
    manifest: Mapping[str, Any]
    tier: str
    scorer: Scorer
    kinds: tuple[Head, ...]
    targets: tuple[Head, ...]
    thresholds: Mapping[str, float]
    vocabulary: Vocabulary | None = None


def bundled_path(name: str = "default") -> str:
    """Return the folder of a model that comes with the package: ``default`` or ``accurate``."""
    return os.path.join(os.path.dirname(__file__), "models", name)


def load_artifact(path: str | os.PathLike[str], tier: str | None = None) -> Artifact:
    """Load a model folder after checking all of it.

    :param tier: ``fast``, ``accurate`` or ``cascade``; None for the best that the folder has.
    :raises ModelError: anything in the folder is missing, damaged, foreign or impossible, or it
        has no such tier.
    :raises MissingExtraError: the tier needs a package that is not installed.
    """
    folder = os.fspath(path)
    raw = read_manifest(folder)
    manifest = parse_object(raw, f"{MANIFEST} in {folder}")
    number = manifest.get("format")
    if type(number) is not int or number not in _READERS:
        known = " and ".join(map(str, _READERS))
        raise ModelError(
            f"{folder} is a model of format {number!r:.60}, and this hostrisk reads format "
            f"{known}; use the hostrisk that made it, or train it again"
        )
    tiers, read = _READERS[number]
    if tier is not None and tier not in tiers:
        raise ModelError(f"{folder} has no tier {tier!r:.60}; it has {', '.join(tiers)}")
    digest = hashlib.sha256(raw).hexdigest()[:12]
    artifact: Artifact = read(folder, manifest, digest, tier or tiers[0])
    return artifact


# --- format 1: n-grams ---------------------------------------------------------------------------


def _read_format_1(folder: str, manifest: dict[str, Any], digest: str, tier: str) -> Artifact:
    del tier  # there is but one
    return _read_fast(Fields(manifest, MANIFEST), folder, digest, (WEIGHTS,))[0]


def _read_fast(
    fields: Fields, folder: str, digest: str, needed: tuple[str, ...]
) -> tuple[Artifact, dict[str, memoryview]]:
    """Return the n-gram model of a folder, and the content of all its files."""
    name, feature_id = fields.text("name"), fields.text("features")
    if feature_id != FEATURE_ID:
        raise ModelError(
            f"{folder} was trained on the features {feature_id!r:.60}, and this hostrisk computes "
            f"{FEATURE_ID!r}; train it again"
        )
    main, calibration = fields.fields("main"), fields.fields("calibration")
    slope = calibration.number("slope", 1e-6)
    heads = fields.fields("heads")
    kinds, targets = _heads(heads, "kinds"), _heads(heads, "targets")
    columns = len(kinds) + len(targets)
    rows = heads.whole("rows", 1, SLOTS)
    thresholds = _thresholds(fields)
    files = check_files(fields, folder, needed)
    shapes = {"main": [SLOTS], "heads": [rows, columns]}
    if (language := _language(fields)) is not None:
        shapes[WORDS] = [SLOTS // 8]
    tensors = map_tensors(files[WEIGHTS], shapes, os.path.join(folder, WEIGHTS))
    scorer = LinearScorer(
        weights=tensors["main"],
        scale=main.number("scale", 0) * slope,
        bias=main.number("bias") * slope + calibration.number("intercept"),
        heads=tensors["heads"],
        columns=columns,
    )
    model_id = f"{name}-{digest}"
    vocabulary = None
    if language is not None:
        vocabulary = Vocabulary(language[0], tensors[WORDS], language[1])
    whole = Artifact(
        folder, model_id, fields.values, FAST, scorer, kinds, targets, thresholds, vocabulary
    )
    return whole, files


def _language(fields: Fields) -> tuple[tuple[str, ...], float] | None:
    """Return the languages of a model and the limit of unseen words; old models have neither."""
    if "language" not in fields.values:
        return None
    language = fields.fields("language")
    names = language.values.get("names")
    if not isinstance(names, list) or not names or not all(isinstance(x, str) for x in names):
        raise ModelError(f"{language.where}.names is {names!r:.60}; it must be a list of languages")
    return tuple(names), language.number("limit", 0, 1)


def _heads(fields: Fields, key: str) -> tuple[Head, ...]:
    heads = []
    for at, values in enumerate(fields.items(key)):
        head = Fields(values, f"{fields.where}.{key}[{at}]")
        numbers = head.number("scale", 0), head.number("bias"), head.number("threshold", 0, 1)
        heads.append(Head(head.text("name"), *numbers))
    if not 0 < len(heads) <= _MOST_COLUMNS:
        raise ModelError(f"{fields.where}.{key} has {len(heads)} entries; it must have 1 to 256")
    return tuple(heads)


def _thresholds(fields: Fields) -> dict[str, float]:
    found = {}
    given = fields.fields("thresholds")
    for name in given.values:
        found[name] = given.fields(name).number("threshold", 0, 1)
    if "default" not in found:
        raise ModelError(f"{given.where} has no threshold named 'default'")
    return found


# --- format 2: n-grams and an encoder ------------------------------------------------------------


def _read_format_2(folder: str, manifest: dict[str, Any], digest: str, tier: str) -> Artifact:
    fields = Fields(manifest, MANIFEST)
    fast, files = _read_fast(fields, folder, digest, (WEIGHTS, GRAPH, PIECES))
    encoder = fields.fields("encoder")
    kinds, targets = _heads(encoder, "kinds"), _heads(encoder, "targets")
    thresholds = _thresholds(encoder)
    mix, band = encoder.fields("mix"), encoder.fields("band")
    shares = mix.number("encoder", 0), mix.number("fast", 0), mix.number("bias")
    low, high = band.number("low", 0, 1), band.number("high", 0, 1)
    window = encoder.whole("window", 8, _MOST_WINDOW)
    stride = encoder.whole("stride", 1, window - 2)
    model_id = fast.model_id if tier == ACCURATE else f"{fields.text('name')}-{tier}-{digest}"
    if tier == FAST:
        return fast._replace(model_id=model_id)
    from hostrisk.encoder import CascadeScorer, EncoderScorer, Graph, Mix

    graph = Graph(
        bytes(files[GRAPH]),
        bytes(files[PIECES]),
        window=window,
        stride=stride,
        columns=1 + len(kinds) + len(targets),
    )
    accurate = EncoderScorer(graph, fast.scorer, Mix(*shares))  # type: ignore[arg-type]
    scorer = accurate if tier == ACCURATE else CascadeScorer(accurate, low, high)
    return fast._replace(
        model_id=model_id, manifest=manifest, tier=tier, scorer=scorer, kinds=kinds,
        targets=targets, thresholds=thresholds,
    )  # fmt: skip


_READERS = {1: ((FAST,), _read_format_1), 2: ((ACCURATE, CASCADE, FAST), _read_format_2)}


# --- saving and verifying ------------------------------------------------------------------------


def save_artifact(
    path: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    tensors: bytes,
    *,
    encoder: tuple[bytes, bytes] | None = None,
) -> Artifact:
    """Write a model folder and load it back; a folder that cannot be loaded is not left behind.

    :param manifest: all but ``format``, ``features`` and ``files``, which are added.
    :param tensors: the content of weights.safetensors.
    :param encoder: the content of encoder.onnx and tokenizer.json, for a model of format 2.
    :raises ModelError: ``path`` exists and is no model folder, or the model cannot be loaded.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(os.path.join(target, MANIFEST)):
        raise ModelError(f"{path} exists and is not a model folder; choose another place")
    contents = {WEIGHTS: tensors}
    if encoder is not None:
        contents[GRAPH], contents[PIECES] = encoder
    whole = {
        "format": 1 if encoder is None else 2,
        "features": FEATURE_ID,
        **manifest,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()
        },
    }
    try:
        text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        contents[MANIFEST] = text.encode()
    except (TypeError, ValueError) as error:
        raise ModelError(f"the manifest for {path} cannot be written as JSON: {error}") from error
    os.makedirs(os.path.dirname(target), exist_ok=True)
    draft = f"{target}.{os.urandom(4).hex()}.tmp"
    try:
        os.mkdir(draft)
        for name, content in contents.items():
            with open(os.path.join(draft, name), "wb") as file:
                file.write(content)
        load_artifact(draft)
        _swap(draft, target, contents)
    finally:
        _remove(draft)
    return load_artifact(target)


def save_with_golden(
    path: str | os.PathLike[str],
    manifest: Mapping[str, Any],
    tensors: bytes,
    texts: Iterable[str],
    *,
    encoder: tuple[bytes, bytes] | None = None,
) -> Artifact:
    """Write a model folder twice: once to score the golden texts, once with their scores in it.

    :param texts: the golden texts.
    :raises ModelError: as :func:`save_artifact`.
    """
    from hostrisk.classifier import Classifier

    written = save_artifact(path, {**manifest, "golden": []}, tensors, encoder=encoder)
    golden = _score_golden(Classifier(written), texts)
    return save_artifact(path, {**manifest, "golden": golden}, tensors, encoder=encoder)


def _swap(draft: str, target: str, names: Mapping[str, bytes]) -> None:
    """Put the draft in the place of the target, whose other files (the card) stay."""
    if not os.path.exists(target):
        os.rename(draft, target)
        return
    for name in names:
        os.replace(os.path.join(draft, name), os.path.join(target, name))


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def verify(path: str | os.PathLike[str] | None = None) -> Iterator[str]:
    """Check a model folder and score its golden texts again, yielding a line on each check.

    :param path: a folder, or the name of a bundled model; the default model if None.
    :raises ModelError: something is wrong, or a golden text has another score than when trained.
    """
    from hostrisk.classifier import load
    from hostrisk.linear import kernel_name

    classifier = load("default" if path is None else path)
    artifact = classifier.artifact
    yield f"model    {artifact.model_id}"
    yield f"files    {len(artifact.manifest['files'])} whole: sizes, hashes, types, shapes, numbers"
    golden = artifact.manifest.get("golden")
    if not isinstance(golden, list) or not golden:
        raise ModelError(f"{artifact.path} has no golden texts to score")
    for at, values in enumerate(golden):
        _check_golden(classifier, Fields(values, f"{MANIFEST}.golden[{at}]"))
    yield f"golden   {len(golden)} texts score as they did when trained (kernel {kernel_name()})"


def _score_golden(classifier: Classifier, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return what a model says of texts, to be kept in its manifest and checked by ``verify``."""
    decisions = ((text, classifier.decide(text, threshold=0)) for text in texts)
    return [
        {"text": text, "score": found.score, "kind": found.kind, "targets": list(found.targets)}
        for text, found in decisions
    ]


def _check_golden(classifier: Any, case: Fields) -> None:
    text, expected = case.text("text"), case.number("score", 0, 1)
    score = classifier.score(text)
    near = _TOLERANCE if classifier.artifact.tier == FAST else _ENCODER_TOLERANCE
    if abs(score - expected) > near:
        raise ModelError(f"{case.where} scores {score!r}, not {expected!r}: {text!r:.60}")
    decision = classifier.decide(text, threshold=0)
    found = [decision.kind, list(decision.targets)]
    wanted = [case.values.get("kind"), case.values.get("targets")]
    if found != wanted and near == _TOLERANCE:
        raise ModelError(f"{case.where} is decided {found}, not {wanted}: {text!r:.60}")
