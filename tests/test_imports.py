"""What a start costs: nothing heavy is imported to score texts, in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hostrisk

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAVY = {
    "numpy", "pandas", "sklearn", "scipy", "joblib", "pyarrow", "polars", "torch", "click",
    "jinja2", "pickle", "asyncio", "concurrent.futures", "dataclasses", "inspect", "logging",
    "multiprocessing", "socket", "ssl", "tomllib", "urllib.request",
}  # fmt: skip
SCORE = "import hostrisk; clf = hostrisk.load(); clf.score('we will kill you')"
# Budgets over bare Python; machines that run tests are busy.
MILLISECONDS, MEGABYTES, BUSY = 30, 10, 3


def run(code: str, **variables: str) -> str:
    variables["PYTHONPATH"] = str(Path(hostrisk.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=os.environ | variables, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import hostrisk",
        f"{SCORE}; clf.score(['a', None] * 200)",
        f"{SCORE}; clf.decide(['kill', None], threshold=0)",
        f"{SCORE}; clf.explain('we will kill you')",
        "import hostrisk; hostrisk.score('a'); hostrisk.Span, hostrisk.ModelError, hostrisk.Policy",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    loaded = set(run(f"{code}\nimport sys; print(*sys.modules)", HOSTRISK_KERNEL="c").split())
    already = set(run("import sys; print(*sys.modules)").split())
    assert loaded & HEAVY <= already


def test_import_alone_loads_no_other_module_of_the_package() -> None:
    loaded = run("import hostrisk, sys; print(*sys.modules)").split()
    assert [name for name in loaded if name.startswith("hostrisk")] == ["hostrisk"]


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep bytecode between runs, as an installed package does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


def best(code: str) -> float:
    """Return the fewest milliseconds of five runs."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        run(code)
        times.append(time.perf_counter() - start)
    return min(times) * 1_000


def test_import_takes_little_time() -> None:
    bare, imported, scored = best("pass"), best("import hostrisk"), best(SCORE)
    print(f"bare {bare:.0f} ms, import +{imported - bare:.0f}, first score +{scored - bare:.0f}")
    assert imported - bare < MILLISECONDS * BUSY
    assert scored - bare < 2 * MILLISECONDS * BUSY


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_scoring_takes_little_memory() -> None:
    show = "; print([s for s in open('/proc/self/status') if 'VmHWM' in s][0].split()[1])"
    bare, scored = (min(int(run(code + show)) for _ in range(2)) for code in ("pass", SCORE))
    print(f"bare {bare / 1024:.1f} MiB, first score +{(scored - bare) / 1024:.1f}")
    assert scored - bare < 1.5 * MEGABYTES * 1024
