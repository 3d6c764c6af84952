"""Model folders: data only, checked whole before anything is built.

A folder holds ``manifest.json`` (what the model is, and the hash of every other file) and
``weights.safetensors``. The model id is a hash of the manifest, so it covers every byte.

The format number and how to change it: a reader of format N must read every folder of format N
ever written. When a change would break that, (1) raise ``FORMAT``, (2) keep the present reader
under its old number in ``_READERS``, (3) keep a small folder of the old format under
``tests/artifacts/``, whose test scores its golden texts, and (4) say so in CHANGELOG.md.

Loading goes: manifest -> files (names, sizes, hashes) -> tensors (types, shapes) -> numbers
(finite, in range) -> Artifact. The first fault is a ModelError that names the file and the fault.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.errors import ModelError
from hostrisk.features import FEATURE_ID, SLOTS
from hostrisk.linear import LinearScorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FORMAT", "Artifact", "Head", "bundled_path", "load_artifact", "save_artifact", "verify"]

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
_MOST_MANIFEST = 16 << 20
_MOST_HEADER = 1 << 16
_MOST_COLUMNS = 256
_TOLERANCE = 1e-9


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
    scorer: LinearScorer
    kinds: tuple[Head, ...]
    targets: tuple[Head, ...]
    thresholds: Mapping[str, float]


def bundled_path() -> str:
    """Return the folder of the model that comes with the package."""
    return os.path.join(os.path.dirname(__file__), "models", "default")


def load_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Load a model folder after checking all of it.

    :raises ModelError: anything in the folder is missing, damaged, foreign or impossible.
    """
    folder = os.fspath(path)
    raw = _read_manifest(folder)
    manifest = _parse(raw, f"{MANIFEST} in {folder}")
    number = manifest.get("format")
    if type(number) is not int or number not in _READERS:
        known = ", ".join(map(str, _READERS))
        raise ModelError(
            f"{folder} is a model of format {number!r:.60}, and this hostrisk reads format "
            f"{known}; use the hostrisk that made it, or train it again"
        )
    digest = hashlib.sha256(raw).hexdigest()[:12]
    artifact: Artifact = _READERS[number](folder, manifest, digest)
    return artifact


# --- manifest ------------------------------------------------------------------------------------


def _read_manifest(folder: str) -> bytes:
    if not os.path.isdir(folder):
        raise ModelError(f"{folder} is not a folder; a model is a folder with {MANIFEST} in it")
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            raw = file.read(_MOST_MANIFEST + 1)
    except OSError as error:
        raise ModelError(f"{folder} has no readable {MANIFEST}: {error.strerror}") from error
    if len(raw) > _MOST_MANIFEST:
        raise ModelError(f"{MANIFEST} in {folder} is over {_MOST_MANIFEST:,} bytes")
    return raw


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{where} is not a JSON object")
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


class _Fields:
    """Values of the manifest, each checked as it is taken."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, dict):
            raise ModelError(f"{where} must be an object, not {values!r:.60}")
        self.values = values
        self.where = where

    def _fault(self, key: str, must: str) -> ModelError:
        shown = repr(self.values[key])[:60] if key in self.values else "missing"
        return ModelError(f"{self.where}.{key} is {shown}; it must be {must}")

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self._fault(key, "text")
        return value

    def number(self, key: str, low: float = -1e6, high: float = 1e6) -> float:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._fault(key, "a number")
        if not low <= value <= high:  # nor is NaN, nor an integer too large for a float
            raise self._fault(key, f"from {low:g} to {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int:
        value = self.number(key, low, high)
        if not value.is_integer():
            raise self._fault(key, "a whole number")
        return int(value)

    def items(self, key: str) -> list[Any]:
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self._fault(key, "a list")
        return value

    def fields(self, key: str) -> _Fields:
        return _Fields(self.values.get(key), f"{self.where}.{key}")


# --- format 1 ------------------------------------------------------------------------------------


def _read_format_1(folder: str, manifest: dict[str, Any], digest: str) -> Artifact:
    fields = _Fields(manifest, MANIFEST)
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
    files = _check_files(fields, folder)
    shapes = {"main": [SLOTS], "heads": [rows, columns]}
    tensors = _map_tensors(files[WEIGHTS], shapes, os.path.join(folder, WEIGHTS))
    scorer = LinearScorer(
        weights=tensors["main"],
        scale=main.number("scale", 0) * slope,
        bias=main.number("bias") * slope + calibration.number("intercept"),
        heads=tensors["heads"],
        columns=columns,
    )
    return Artifact(folder, f"{name}-{digest}", manifest, scorer, kinds, targets, thresholds)


def _heads(fields: _Fields, key: str) -> tuple[Head, ...]:
    heads = []
    for at, values in enumerate(fields.items(key)):
        head = _Fields(values, f"{fields.where}.{key}[{at}]")
        numbers = head.number("scale", 0), head.number("bias"), head.number("threshold", 0, 1)
        heads.append(Head(head.text("name"), *numbers))
    if not 0 < len(heads) <= _MOST_COLUMNS:
        raise ModelError(f"{fields.where}.{key} has {len(heads)} entries; it must have 1 to 256")
    return tuple(heads)


def _thresholds(fields: _Fields) -> dict[str, float]:
    found = {}
    given = fields.fields("thresholds")
    for name in given.values:
        found[name] = given.fields(name).number("threshold", 0, 1)
    if "default" not in found:
        raise ModelError(f"{given.where} has no threshold named 'default'")
    return found


def _check_files(fields: _Fields, folder: str) -> dict[str, memoryview]:
    """Map every file that the manifest names, after checking place, size and hash."""
    listed = fields.fields("files")
    found = {}
    for name in listed.values:
        file = listed.fields(name)
        inside = os.path.join(folder, name)
        plain = name == os.path.basename(name) and name not in ("", ".", "..", MANIFEST)
        if not plain or "\\" in name or not name.isprintable() or os.path.islink(inside):
            raise ModelError(f"{listed.where} names {name!r}, which is not a file of the folder")
        found[name] = _map_file(inside)
        if len(found[name]) != file.number("bytes", 0, 1 << 40):
            raise ModelError(f"{inside} has {len(found[name]):,} bytes, not as the manifest says")
        if hashlib.sha256(found[name]).hexdigest() != file.text("sha256"):
            raise ModelError(f"{inside} is damaged: its SHA-256 is not the one of the manifest")
    if WEIGHTS not in found:
        raise ModelError(f"{listed.where} does not name {WEIGHTS}")
    return found


def _map_file(path: str) -> memoryview:
    if os.path.exists(path) and not os.path.isfile(path):
        raise ModelError(f"{path} is not a file")
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # what mmap says of an empty file
        raise ModelError(f"{path} is empty") from error


def _map_tensors(
    data: memoryview, shapes: dict[str, list[int]], path: str
) -> dict[str, memoryview]:
    """Return the int8 tensors of a safetensors file, which must be these, side by side."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MOST_HEADER, len(data) - 8):
        raise ModelError(f"{path} is not a safetensors file: its header has no possible size")
    header = _parse(bytes(data[8 : 8 + size]), path)
    header.pop("__metadata__", None)
    if set(header) != set(shapes):
        raise ModelError(f"{path} holds the tensors {sorted(header)}, not {sorted(shapes)}")
    start = 8 + size
    found: dict[str, memoryview] = {}
    places: list[list[int]] = []
    for name, shape in shapes.items():
        length = math.prod(shape)
        entry = _Fields(header[name], f"{path}.{name}")
        if entry.values.get("dtype") != "I8" or entry.values.get("shape") != shape:
            raise ModelError(
                f"{entry.where} is {entry.values.get('dtype')} of shape "
                f"{entry.values.get('shape')!r:.60}; it must be I8 of shape {shape}"
            )
        offsets = entry.items("data_offsets")
        if (
            len(offsets) != 2
            or not all(type(offset) is int for offset in offsets)
            or not 0 <= offsets[0] <= offsets[1] <= len(data) - start
            or offsets[1] - offsets[0] != length
        ):
            raise ModelError(
                f"{entry.where} lies at {offsets!r:.60}; it must be {length:,} bytes in the file"
            )
        places.append(offsets)
        found[name] = data[start + offsets[0] : start + offsets[1]].cast("b")
    places.sort()
    ends = [0, *(end for _, end in places)]
    if ends != [*(begin for begin, _ in places), len(data) - start]:
        raise ModelError(f"{path} has tensors that overlap, or bytes that belong to none")
    return found


_READERS = {1: _read_format_1}


# --- saving and verifying ------------------------------------------------------------------------


def save_artifact(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], tensors: bytes
) -> Artifact:
    """Write a model folder and load it back; a folder that cannot be loaded is not left behind.

    :param manifest: all but ``format``, ``features`` and ``files``, which are added.
    :param tensors: the content of weights.safetensors.
    :raises ModelError: ``path`` exists and is no model folder, or the model cannot be loaded.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(os.path.join(target, MANIFEST)):
        raise ModelError(f"{path} exists and is not a model folder; choose another place")
    whole = {
        "format": FORMAT,
        "features": FEATURE_ID,
        **manifest,
        "files": {WEIGHTS: {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}},
    }
    try:
        text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        encoded = text.encode()
    except (TypeError, ValueError) as error:
        raise ModelError(f"the manifest for {path} cannot be written as JSON: {error}") from error
    os.makedirs(os.path.dirname(target), exist_ok=True)
    draft = f"{target}.{os.urandom(4).hex()}.tmp"
    try:
        os.mkdir(draft)
        for name, content in ((WEIGHTS, tensors), (MANIFEST, encoded)):
            with open(os.path.join(draft, name), "wb") as file:
                file.write(content)
        load_artifact(draft)
        _swap(draft, target)
    finally:
        _remove(draft)
    return load_artifact(target)


def _swap(draft: str, target: str) -> None:
    """Put the draft in the place of the target, whose other files (the card) stay."""
    if not os.path.exists(target):
        os.rename(draft, target)
        return
    for name in (WEIGHTS, MANIFEST):
        os.replace(os.path.join(draft, name), os.path.join(target, name))


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def verify(path: str | os.PathLike[str] | None = None) -> Iterator[str]:
    """Check a model folder and score its golden texts again, yielding a line on each check.

    :raises ModelError: something is wrong, or a golden text has another score than when trained.
    """
    from hostrisk.classifier import Classifier
    from hostrisk.linear import kernel_name

    artifact = load_artifact(bundled_path() if path is None else path)
    yield f"model    {artifact.model_id}"
    yield f"files    {len(artifact.manifest['files'])} whole: sizes, hashes, types, shapes, numbers"
    classifier = Classifier(artifact)
    golden = artifact.manifest.get("golden")
    if not isinstance(golden, list) or not golden:
        raise ModelError(f"{artifact.path} has no golden texts to score")
    for at, values in enumerate(golden):
        case = _Fields(values, f"{MANIFEST}.golden[{at}]")
        _check_golden(classifier, case)
    yield f"golden   {len(golden)} texts score as they did when trained (kernel {kernel_name()})"


def _check_golden(classifier: Any, case: _Fields) -> None:
    text, expected = case.text("text"), case.number("score", 0, 1)
    score = classifier.score(text)
    if abs(score - expected) > _TOLERANCE:
        raise ModelError(f"{case.where} scores {score!r}, not {expected!r}: {text!r:.60}")
    decision = classifier.decide(text, threshold=0)
    found = [decision.kind, list(decision.targets)]
    wanted = [case.values.get("kind"), case.values.get("targets")]
    if found != wanted:
        raise ModelError(f"{case.where} is decided {found}, not {wanted}: {text!r:.60}")
