"""Variants of posts for the teacher to judge, each made again from the id of its row.

What a variant means need not be known: its label is what the teacher says of it. *swap* puts other
people in the place of those named, of either camp, so that hate of a group is not taken for
violence against it; *splice* puts a calm post before or behind, so that violence is found wherever
it stands; *drop* leaves out words; *piece* keeps half a post, with the violence or without it.
Kaushik et al. 2020, "Learning the Difference that Makes a Difference with
Counterfactually-Augmented Data"; Jiao et al. 2020, "TinyBERT".
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pandas as pd

__all__ = ["VARIANTS", "augment"]

_PEOPLE = """
democrats republicans liberals conservatives leftists patriots progressives libertarians
democrat republican liberal conservative leftist patriot progressive libertarian
blacks whites jews muslims christians mexicans asians arabs gays lesbians immigrants women men
atheists catholics hindus indians africans chinese refugees
black white jewish muslim christian mexican asian arab gay trans immigrant catholic hindu
judge senator governor mayor teacher cop reporter doctor ceo congressman clerk nurse priest
coach lawyer sheriff banker professor
judges senators governors mayors teachers cops reporters doctors ceos congressmen clerks nurses
priests coaches lawyers sheriffs bankers professors protesters rioters politicians journalists
biden trump obama pelosi hillary mcconnell pence harris bush clinton
antifa militias blm isis
woman man girl boy guy dude
she he
her him
wife husband sister brother mother father
"""  # those of one line can stand in each other's place
_OTHERS = {
    word: [other for other in line.split() if other != word]
    for line in _PEOPLE.splitlines()
    for word in line.split()
}
_WORD = re.compile(r"[A-Za-z]+")
_DROPPED = 0.15
_LEAST_PIECED = 12


def _swap(text: str, rng: random.Random, _: str) -> str:
    """Put others in the place of people named, the same ones throughout."""
    chosen: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        word = found[0]
        key = word.lower()
        if key not in _OTHERS:
            return word
        other = chosen.setdefault(key, rng.choice(_OTHERS[key]))
        if word.isupper() and len(word) > 1:
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return _WORD.sub(replace, text)


def _splice(text: str, rng: random.Random, calm: str) -> str:
    """Put a calm post before or behind."""
    parts = [text, calm] if rng.random() < 0.5 else [calm, text]
    return rng.choice((" ", ". ", "\n", " ... ")).join(parts)


def _drop(text: str, rng: random.Random, _: str) -> str:
    """Leave out some words."""
    return " ".join(word for word in text.split() if rng.random() >= _DROPPED)


def _piece(text: str, rng: random.Random, _: str) -> str:
    """Keep half of the words, those that follow one another from a random place."""
    words = text.split()
    if len(words) < _LEAST_PIECED:
        return text
    size = len(words) // 2
    start = rng.randrange(len(words) - size + 1)
    return " ".join(words[start : start + size])


VARIANTS: dict[str, Callable[[str, random.Random, str], str]] = {
    "swap": _swap,
    "splice": _splice,
    "drop": _drop,
    "piece": _piece,
}


def augment(rows: pd.DataFrame, calm: list[str]) -> pd.DataFrame:
    """Return the variants of rows that differ from them: ``id``, ``text``, ``row`` (its index).

    :param rows: with ``id`` and ``text``.
    :param calm: texts to splice with.
    """
    if not calm:
        return pd.DataFrame({"id": [], "text": [], "row": []}).astype({"id": object})
    found = []
    for row, name, text in zip(rows.index, rows["id"], rows["text"], strict=True):
        for variant, make in VARIANTS.items():
            key = f"{name}~{variant}"
            rng = random.Random(key)  # noqa: S311  # the same variant for the same row
            made = make(text, rng, rng.choice(calm))
            if made.strip() and made != text:
                found.append((key, made, row))
    return pd.DataFrame(found, columns=["id", "text", "row"])
