"""The wheel, not the checkout: what is in it, and that it scores, with a compiler and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import hostrisk

ROOT = Path(__file__).parents[1]
TEXT = "we will hang every one of them"
NEEDED = {
    "hostrisk/py.typed",
    "hostrisk/_kernel.pyi",
    "hostrisk/models/default/manifest.json",
    "hostrisk/models/default/weights.safetensors",
    "hostrisk/policies/default.toml",
    "hostrisk/report/templates/evaluation.html",
}
SCORE = f"""
import hostrisk, hostrisk.artifact, os
from hostrisk.linear import kernel_name
print(os.path.dirname(hostrisk.__file__))
print(kernel_name())
print(hostrisk.score({TEXT!r}).hex())
print(len(list(hostrisk.artifact.verify())))
"""


class Built(NamedTuple):
    """A wheel, and what a process says that scores with it after installation."""

    names: set[str]
    metadata: str
    output: list[str]
    errors: str


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python; what it says is shown when it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HOSTRISK", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done


def build(place: Path, **variables: str) -> Built:
    tree, target = place / "tree", place / "installed"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", tree / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", ".", "tree", cwd=place, **variables)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(about).decode()
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    run("-m", "pip", "install", *options, str(wheel), cwd=place)
    done = run("-c", SCORE, cwd=place, PYTHONPATH=str(target))
    assert done.stdout.splitlines()[0] == str(target / "hostrisk")
    return Built(names, metadata, done.stdout.splitlines()[1:], done.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Built) -> None:
    assert not NEEDED - wheel.names
    kernels = [name for name in wheel.names if name.endswith((".so", ".pyd"))]
    assert len(kernels) == 1
    assert kernels[0].startswith("hostrisk/_kernel.")
    packages = {name.split("/")[0] for name in wheel.names}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"hostrisk"}
    assert not [name for name in wheel.names if name.endswith((".c", ".h", ".pyc", ".tmp"))]
    modules = {path.relative_to(ROOT / "src").as_posix() for path in ROOT.glob("src/**/*.py")}
    assert modules <= wheel.names


def test_the_metadata_says_what_it_is(wheel: Built) -> None:
    for line in (f"Version: {hostrisk.__version__}", "License-Expression: Apache-2.0"):
        assert line in wheel.metadata


def test_the_wheel_scores_as_the_checkout_does(wheel: Built) -> None:
    assert wheel.output == ["c", hostrisk.score(TEXT).hex(), "3"]
    assert not wheel.errors


def test_without_a_compiler_it_scores_the_same_and_says_so(tmp_path: Path) -> None:
    built = build(tmp_path, CC="/bin/false")
    assert not NEEDED - built.names
    assert not [name for name in built.names if name.endswith((".so", ".pyd"))]
    assert built.output == ["python", hostrisk.score(TEXT).hex(), "3"]
    assert "hostrisk runs without its compiled kernel" in built.errors
