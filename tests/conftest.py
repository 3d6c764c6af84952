"""The bundled classifier, and copies of its folder to tamper with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import hostrisk
from hostrisk.artifact import bundled_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def clf() -> hostrisk.Classifier:
    return hostrisk.load()


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return shutil.copytree(bundled_path(), tmp_path / "model")
