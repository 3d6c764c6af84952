"""Draw the posts of the demo host that people would review, and label them by the truth.

    python data/demo/make_labels.py

Writes host_labels.csv: what `hostrisk sample data/demo/host.csv --name harbour.example --n 400`
draws, without the texts, with the labels of the column `violent` in the place of people's.
"""

from __future__ import annotations

import csv
from pathlib import Path

import hostrisk

FOLDER = Path(__file__).parent
REVIEWED = 400
COLUMNS = ("id", "inclusion_probability", "stratum", "host", "label", "kind", "target")


def main() -> None:
    """Write the labels."""
    with open(FOLDER / "host.csv", encoding="utf-8") as file:
        truth = {row["id"]: row for row in csv.DictReader(file)}
    drawn = hostrisk.sample(FOLDER / "host.csv", REVIEWED, seed=0, name="harbour.example")
    with open(FOLDER / "host_labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in drawn.to_pylist():
            found = truth[row["id"]]
            writer.writerow({**row, **found, "label": found["violent"], "host": row["host"]})


if __name__ == "__main__":
    main()
