"""Read labeled rows from wherever they are into one table.

Columns: ``id``, ``text``, ``label`` (1, 0, -1 unknown), ``kind`` and ``targets`` (those of the
policy, None and empty where the source does not say), ``source``, ``origin`` (of rows that were
read again), ``template`` (what a row was written from, if known), ``lang``.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hostrisk.attacks import NOISE, noise
from training.augment import augment
from training.labels import map_kind, map_targets

__all__ = ["CASES", "data_hashes", "find_data", "read_catalogue", "read_written"]

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "data" / "cases"
TEACHER = ROOT / "data" / "labels" / "teacher.parquet"
READINGS = ROOT / "data" / "labels" / "readings.csv"
COLUMNS = ["id", "text", "label", "kind", "targets", "source", "origin", "template", "lang"]
CALM = ("tweeteval", "disaster_tweets", "gothic_fiction", "cad")
ENVIRONMENT = "HOSTRISK_DATA"
_FILES = (".csv", ".jsonl", ".ndjson", ".parquet")
# Strings of each kind, from another seed than those that models are measured on. Lines of code
# have so few forms that those would be learned by heart; the written ones teach them.
_NOISES = 150
_NOISE_LEARNED = [name for name in NOISE if name != "code"]
_DATASET_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def find_data(given: str | None) -> Path | str | None:
    """Return the folder or file of labeled data, or the name of a dataset, or None.

    It is the one given, or that of HOSTRISK_DATA. What does not exist and looks like a name that
    ``datasets.load_dataset`` understands is taken for one.
    """
    chosen = given or os.environ.get(ENVIRONMENT)
    if not chosen:
        return None
    if Path(chosen).exists():
        return Path(chosen)
    if _DATASET_NAME.fullmatch(chosen) and Path(chosen).suffix not in _FILES:
        return chosen
    raise SystemExit(f"error: {chosen} does not exist; give --data a folder, file or dataset")


def _shape(rows: pd.DataFrame, **fixed: Any) -> pd.DataFrame:
    """Bring rows of any source to the columns above, dropping what has no text."""
    rows = rows.assign(**fixed)
    for name in ("id", "kind", "target", "template", "origin"):
        if name not in rows:
            rows[name] = None
    if "lang" not in rows:
        rows["lang"] = "en"
    labels = pd.to_numeric(rows["label"], errors="coerce").fillna(-1)
    rows = rows.assign(label=labels.where(labels.isin([0, 1]), -1).astype("int8"))
    rows = rows[rows["text"].notna()]
    positive = rows["label"] == 1
    rows["kind"] = [
        map_kind(kind) if yes else None for kind, yes in zip(rows["kind"], positive, strict=True)
    ]
    rows["targets"] = [
        map_targets(target) if yes else frozenset()
        for target, yes in zip(rows["target"], positive, strict=True)
    ]
    rows["text"] = rows["text"].astype(object)
    return rows[COLUMNS].reset_index(drop=True)


def read_catalogue(folder: Path, names: Iterable[str], languages: Iterable[str]) -> pd.DataFrame:
    """Read Parquet files of a catalogue, rows with an unknown label included."""
    tables = []
    for name in names:
        path = folder / f"{name}.parquet"
        if not path.exists():
            raise SystemExit(f"error: {folder} has no {name}.parquet; see data/sources.toml")
        rows = pd.read_parquet(path)
        rows = rows[rows["lang"].isin(list(languages))]
        reread = rows["subset"] if name.endswith("_violence") else None
        tables.append(_shape(rows, source=name, origin=reread))
    return pd.concat(tables, ignore_index=True)


def read_file(path: Path) -> pd.DataFrame:
    """Read a CSV, JSON Lines or Parquet file with the columns text and label."""
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix in (".jsonl", ".ndjson"):
        rows = pd.read_json(path, lines=True, dtype=False)
    elif path.suffix in readers:
        more = {"keep_default_na": False} if path.suffix == ".csv" else {}
        rows = readers[path.suffix](path, **more)
    else:
        raise SystemExit(f"error: {path} is none of .csv, .jsonl, .parquet")
    return _labeled(rows, str(path))


def read_dataset(name: str) -> pd.DataFrame:
    """Read the train split of a dataset that ``datasets.load_dataset`` understands."""
    import datasets

    try:
        rows = datasets.load_dataset(name, split="train").to_pandas()
    except Exception as error:  # whatever a dataset, its parser or the network can raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"error: {name} is no file or folder, and cannot be loaded as a dataset"
        raise SystemExit(f"{problem}: {reason}") from error
    return _labeled(rows, name)


def _labeled(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    for column in ("text", "label"):
        if column not in rows:
            there = ", ".join(map(repr, rows.columns))
            raise SystemExit(f"error: {name} has no column {column!r}; its columns are {there}")
    return _shape(rows, source=Path(name).stem)


def read_written(part: str) -> pd.DataFrame:
    """Read the cases that the project wrote itself: part ``train`` or ``test``."""
    rows = pd.read_csv(CASES / f"{part}.csv", keep_default_na=False)
    return _shape(rows, source="written", origin=rows["capability"])


def make_noise() -> pd.DataFrame:
    """Return harmless strings that look odd: ids, coordinates, flags."""
    rows = [
        {"id": f"noise:{name}:{number}", "text": text, "label": 0}
        for name in _NOISE_LEARNED
        for number, text in enumerate(noise(name, _NOISES, seed=1))
    ]
    return _shape(pd.DataFrame(rows), source="generated")


def permitted() -> list[str]:
    """Return the names of the files that data/sources.toml lets a model be trained on."""
    return [name for name, entry in _catalogue().items() if entry["use"] == "train"]


def licences() -> dict[str, str]:
    """Return the licence of each source."""
    return {"written": "Apache-2.0", "generated": "Apache-2.0"} | {
        name: entry["licence"] for name, entry in _catalogue().items()
    }


def _catalogue() -> dict[str, dict[str, str]]:
    with (ROOT / "data" / "sources.toml").open("rb") as file:
        return tomllib.load(file)


def read_readings() -> pd.DataFrame:
    """Return the labels of data/labels/readings.csv: ids, labels and both readings, no text."""
    return pd.read_csv(READINGS, keep_default_na=False)


def apply_readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the labels of data/labels/, which were read by the policy and go first."""
    readings = read_readings().set_index("id")
    known = rows["id"].isin(readings.index)
    read = readings.loc[rows.loc[known, "id"]]
    rows = rows.copy()
    rows.loc[known, "label"] = read["label"].to_numpy(dtype="int8")
    rows.loc[known, "kind"] = [map_kind(kind) for kind in read["kind"]]
    rows.loc[known, "targets"] = pd.Series(
        [map_targets(target) for target in read["target"]], index=rows.index[known]
    )
    return rows


def read_soft_labels(rows: pd.DataFrame, *, small: bool = True) -> pd.Series:
    """Return the probabilities that encoders gave to rows, NaN where none did.

    :param small: whether also those of the small encoder, which tells of what the teacher did not.
    """
    told = read_told()
    told = told["logit"] if small else told["logit"][~told["small"]]
    return 1 / (1 + (-rows["id"].map(told) / 10).map(math.exp, na_action="ignore"))


def soften(labels: Any, told: Any, share: Any) -> Any:
    """Return the probabilities to learn: labels, with a share of what encoders told of the row.

    :param labels: 1, 0 or -1 unknown, where the word of the encoders is all there is.
    :param told: their probabilities, NaN where there are none.
    """
    share = np.where(np.isnan(told), 0.0, share)
    return np.where(labels < 0, told, (1 - share) * labels + share * np.nan_to_num(told))


def read_variants(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the variants of rows that the teacher judged: ``id``, ``text``, ``row``, ``soft``.

    :param rows: the train part, the only one that has any.
    """
    told = read_told().index
    sources_of = {name.partition("~")[0] for name in told if "~" in name}
    varied = augment(rows[rows["id"].isin(sources_of)], calm_texts(rows))
    varied = varied[varied["id"].isin(told)].reset_index(drop=True)
    return varied.assign(soft=read_soft_labels(varied))


def read_told() -> pd.DataFrame:
    """Return what encoders said, by id: ``logit`` (tenfold), ``small`` (by the small encoder)."""
    if not TEACHER.exists():
        empty = pd.DataFrame({"id": [], "logit": [], "small": []})
        return empty.astype({"id": object, "logit": "int8", "small": bool}).set_index("id")
    return pd.read_parquet(TEACHER).drop_duplicates("id").set_index("id")


def write_told(ids: Iterable[str], logits: Any, path: Path, *, small: bool) -> None:
    """Write or, from the small encoder, add what was said of rows: ids and logits, no text."""
    rounded = (10 * pd.Series(logits)).round().clip(-127, 127).astype("int8").to_numpy()
    table = pd.DataFrame({"id": list(ids), "logit": rounded, "small": small})
    if small:
        kept = read_told().reset_index()
        table = pd.concat([kept[~kept["small"]], table], ignore_index=True)
    table.sort_values("id").to_parquet(path, index=False, compression="zstd")


def calm_texts(rows: pd.DataFrame) -> list[str]:
    """Return short texts of news, fiction and chat, which variants of other posts are made with."""
    short = (rows["label"] == 0) & (rows["text"].str.len() < 200)
    return rows.loc[short & rows["source"].isin(CALM), "text"].tolist()


def padding_texts(rows: pd.DataFrame) -> list[str]:
    """Return harmless texts to pad others with: calm ones, and as many that were written calm."""
    calm = calm_texts(rows)
    written = rows.loc[rows["origin"] == "calm_everyday", "text"].tolist()
    return calm + written * max(1, len(calm) // max(len(written), 1))


def data_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}
