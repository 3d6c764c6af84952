"""Checks of a model folder, before anything in it is used: its manifest, files and tensors."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from typing import Any

from hostrisk.errors import ModelError

__all__ = ["MANIFEST", "Fields", "check_files", "map_tensors", "parse_object", "read_manifest"]

MANIFEST = "manifest.json"
_MOST_MANIFEST = 16 << 20
_MOST_HEADER = 1 << 16


def read_manifest(folder: str) -> bytes:
    """Return the content of the manifest of a model folder."""
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


def parse_object(raw: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that these bytes are."""
    try:
        values = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{where} is not a JSON object")
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


class Fields:
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

    def fields(self, key: str) -> Fields:
        return Fields(self.values.get(key), f"{self.where}.{key}")


def check_files(fields: Fields, folder: str, needed: tuple[str, ...]) -> dict[str, memoryview]:
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
    for name in needed:
        if name not in found:
            raise ModelError(f"{listed.where} does not name {name}")
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


def map_tensors(data: memoryview, shapes: dict[str, list[int]], path: str) -> dict[str, memoryview]:
    """Return the int8 tensors of a safetensors file, which must be these, side by side."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MOST_HEADER, len(data) - 8):
        raise ModelError(f"{path} is not a safetensors file: its header has no possible size")
    header = parse_object(bytes(data[8 : 8 + size]), path)
    header.pop("__metadata__", None)
    if set(header) != set(shapes):
        raise ModelError(f"{path} holds the tensors {sorted(header)}, not {sorted(shapes)}")
    start = 8 + size
    found: dict[str, memoryview] = {}
    places: list[list[int]] = []
    for name, shape in shapes.items():
        length = math.prod(shape)
        entry = Fields(header[name], f"{path}.{name}")
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
