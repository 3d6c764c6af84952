"""Time the assessment of many posts against plain reading of the same file, and its memory.

    python tests/bench/bench_host.py [--posts 10000000] [--hosts 20] [--keep FILE]

Posts are made of the sentences of data/demo, 12 weeks long: of posts that are flagged as many as on
the host that the model's thresholds were measured on. They are written to Parquet once. Each run is
a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = """
import sys, time, resource
from hostrisk.files import read_batches
begun = time.perf_counter()
rows = sum(batch.num_rows for batch in read_batches(sys.argv[1]))
print(rows, time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
ASSESS = """
import sys, time, resource, hostrisk
begun = time.perf_counter()
found = hostrisk.assess(sys.argv[1], host="site", exemplars=50)
took = time.perf_counter() - begun
print(found.record["rows"], took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def make_posts(path: Path, posts: int, hosts: int) -> None:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    import hostrisk

    with open(ROOT / "data/demo/host.csv", encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file) if row["text"]]
    classifier = hostrisk.load()
    measured = classifier.artifact.manifest["thresholds"]["balanced"]
    flagged = np.array(classifier.score(texts)) >= measured["threshold"]
    texts = [*np.array(texts)[~flagged], *np.array(texts)[flagged]]
    share = measured["recall"] * 0.04 + measured["false_positive_rate"] * 0.96
    chances = np.where(np.sort(flagged), share / flagged.sum(), (1 - share) / (~flagged).sum())
    pool = pa.array(texts)
    rng = np.random.default_rng(0)
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("created_at", pa.timestamp("us", "UTC")),
            ("site", pa.string()),
            ("text", pa.string()),
            ("reported_at", pa.timestamp("us", "UTC")),
            ("views", pa.int64()),
        ]
    )
    start = 1_756_684_800 * 1_000_000
    names = pa.array([f"site{number}.example" for number in range(hosts)])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, posts, 250_000):
            count = min(250_000, posts - first)
            ids = pa.array([f"p{number}" for number in range(first, first + count)])
            times = start + rng.integers(0, 12 * 7 * 86_400, count) * 1_000_000
            reported = np.where(rng.random(count) < 0.005, times + 3_600_000_000, 0)
            chosen = rng.choice(len(texts), count, p=chances)
            writer.write_table(
                pa.table(
                    [
                        ids,
                        pa.array(times).cast(pa.timestamp("us", "UTC")),
                        names.take(pa.array(rng.integers(0, hosts, count))),
                        pool.take(pa.array(chosen)),
                        pa.array(reported, mask=reported == 0).cast(pa.timestamp("us", "UTC")),
                        pa.array(rng.integers(0, 500, count)),
                    ],
                    schema=schema,
                )
            )


def run(code: str, path: Path) -> tuple[int, float, float]:
    """Return rows, seconds and peak memory in MB of a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env=environment,
    )
    rows, seconds, memory = done.stdout.split()
    return int(rows), float(seconds), int(memory) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--posts", type=int, default=10_000_000)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "posts.parquet"
        if not path.exists():
            begun = time.perf_counter()
            make_posts(path, options.posts, options.hosts)
            print(f"made {path.stat().st_size >> 20} MB in {time.perf_counter() - begun:.0f} s")
        read, assessed = run(READ, path), run(ASSESS, path)
    print(json.dumps({"posts": read[0], "hosts": options.hosts}))
    print(f"reading   {read[1]:8.1f} s {read[2]:8.0f} MB")
    print(f"assessing {assessed[1]:8.1f} s {assessed[2]:8.0f} MB")
    print(
        f"beyond reading {assessed[1] - read[1]:.1f} s, "
        f"{(assessed[1] - read[1]) / read[0] * 1e6:.1f} us a post; "
        f"{assessed[1] / read[1]:.1f} times reading"
    )


if __name__ == "__main__":
    main()
