"""Compare scoring with scikit-learn's hashing of the same kind of features, side by side.

    python tests/bench/bench_score.py [--posts 100000] [--data DIR]

Rounds alternate between the contenders, so that a busy machine slows all of them; ratios are of
the medians. Posts come from the labeled data (--data or HOSTRISK_DATA), else from the project's
own cases, repeated as needed.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.pipeline import make_union

import hostrisk
from hostrisk import _vectors, linear

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SOURCES = ("parler_violence", "tweeteval", "davidson", "cad", "gab_hate_corpus", "edos")


def read_posts(count: int, data: str | None) -> list[str]:
    """Return so many posts, real ones where there are any."""
    if data:
        tables = [pd.read_parquet(Path(data) / f"{name}.parquet") for name in SOURCES]
        texts = [text for table in tables for text in table["text"]]
    else:
        texts = pd.read_csv(ROOT / "data" / "cases" / "train.csv")["text"].tolist()
    return list(islice(cycle(texts), count))


def hashing_union() -> Any:
    """Return scikit-learn's nearest to the kernel: words, pairs, character 3- to 5-grams."""
    common = {"n_features": 1 << 20, "binary": True, "norm": "l2", "alternate_sign": False}
    return make_union(
        HashingVectorizer(ngram_range=(1, 2), **common),
        HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **common),
    )


def seconds(work: Callable[[], object]) -> float:
    """Time one call, with the garbage collector out of the way."""
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    work()
    elapsed = time.perf_counter() - start
    gc.enable()
    return elapsed


def compare(posts: list[str], rounds: int) -> None:
    """Print posts a second of each contender and the ratio to scikit-learn."""
    clf = hostrisk.load()
    scorer = clf.artifact.scorer
    array = pa.array(posts)
    few = posts[::10]  # of the same mix as all of them
    some, fewer = posts[::5], posts[::200]
    accurate, cascade = hostrisk.load("accurate"), hostrisk.load("cascade")
    union = hashing_union()
    arguments = (scorer.weights, scorer.scale, scorer.bias)
    contenders: dict[str, tuple[int, Callable[[], object]]] = {
        "scikit-learn hashing": (len(few), lambda: union.transform(few)),
        "list": (len(posts), lambda: clf.score(posts)),
        "Arrow": (len(posts), lambda: clf.score(array)),
        "Arrow, 2 threads": (len(posts), lambda: clf.score(array, threads=2)),
        "list, 2 threads": (len(posts), lambda: clf.score(posts, threads=2)),
        "fall-back (NumPy)": (len(posts), lambda: _vectors.score_list(posts, *arguments)),
        "cascade, list": (len(some), lambda: cascade.score(some)),
        "accurate, list": (len(fewer), lambda: accurate.score(fewer)),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (count, work) in contenders.items():
            times[name].append(seconds(work) / count)
    base = statistics.median(times["scikit-learn hashing"])
    print(f"{'':<22} {'posts/s':>12} {'ratio':>8}")
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:<22} {1 / middle:>12,.0f} {base / middle:>8.1f}")
    print(f"the encoder reads {cascade.encoded_share:.1%} of the posts of the cascade")
    one, two = (statistics.median(times[name]) for name in ("Arrow", "Arrow, 2 threads"))
    print(f"two threads over one, Arrow: {one / two:.2f}")


def single_calls() -> None:
    """Print the time of one call on one short text, and on one of 10 MB."""
    clf = hostrisk.load()
    short = "they should all be shot on sight, every one of them"
    calls = 20_000
    best = min(seconds(lambda: [clf.score(short) for _ in range(calls)]) for _ in range(5))
    print(f"one call on {len(short)} characters: {best / calls * 1e6:.2f} microseconds")
    words = "the quick brown fox jumps over the lazy dog and we baked a cake for everyone there. "
    long = (words * (10_000_000 // len(words) + 1))[:10_000_000]
    pieces = [long[at : at + 127] for at in range(0, len(long), 127)]
    whole = min(seconds(lambda: clf.score(long)) for _ in range(3))
    apart = min(seconds(lambda: clf.score(pieces)) for _ in range(3))
    print(
        f"10 MB as one text: {whole:.3f} s; as short ones: {apart:.3f} s; {whole / apart:.2f} times"
    )


def cold_starts(rounds: int = 15) -> None:
    """Print what a fresh process costs over a bare interpreter, in time and memory."""
    # Not getrusage: its peak counts what the parent had before the new program began.
    program = "{};print(*[x.split()[1] for x in open('/proc/self/status') if x[:5]=='VmHWM'])"
    codes = {
        "bare Python": "pass",
        "import hostrisk": "import hostrisk",
        "load and score a str": "import hostrisk;hostrisk.load().score('they should be shot')",
    }
    commands = {name: [sys.executable, "-c", program.format(code)] for name, code in codes.items()}
    commands["hostrisk score TEXT"] = [sys.executable, "-m", "hostrisk", "score", "be shot"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, int] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[name].append(time.perf_counter() - start)
            if name in codes:
                memory[name] = int(done.stdout)
    bare = statistics.median(times["bare Python"])
    for name, found in times.items():
        middle = statistics.median(found)
        line = f"{name:<22} {middle * 1e3:6.1f} ms (+{(middle - bare) * 1e3:.1f})"
        if name in memory:
            more = memory[name] - memory["bare Python"]
            line += f", {memory[name] / 1024:.1f} MB (+{more / 1024:.1f})"
        print(line)


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", default=os.environ.get("HOSTRISK_DATA"))
    given = parser.parse_args()
    posts = read_posts(given.posts, given.data)
    size = sum(len(post.encode()) for post in posts) / len(posts)
    print(f"{len(posts):,} posts, {size:.0f} bytes on average, kernel {linear.kernel_name()}")
    compare(posts, given.rounds)
    single_calls()
    cold_starts()


if __name__ == "__main__":
    main()
