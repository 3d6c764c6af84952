"""Other forms of posts to learn from: variants that the teacher judges, tricks that need none.

Variants are made again from the id of their row.

What a variant means need not be known: its label is what the teacher says of it. *swap* puts other
people in the place of those named, of either camp, so that hate of a group is not taken for
violence against it; *splice* puts a calm post before or behind, so that violence is found wherever
it stands; *drop* leaves out words; *piece* keeps half a post, with the violence or without it.
Kaushik et al. 2020, "Learning the Difference that Makes a Difference with
Counterfactually-Augmented Data"; Jiao et al. 2020, "TinyBERT".

A trick leaves the label as it is: *pad* with calm posts, *disavow*, and *camps*, which names the
other political camp. Attacks of :mod:`hostrisk.attacks` on words are tricks too; those on whole
texts are not learned from, since models are measured on the very sentences that they add.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import pandas as pd

from hostrisk.attacks import attack
from hostrisk.material import in_case_of

__all__ = ["VARIANTS", "augment", "naming_camps", "swap_camps", "trick"]

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
        return in_case_of(word, chosen.setdefault(key, rng.choice(_OTHERS[key])))

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


# --- tricks --------------------------------------------------------------------------------------

_CAMPS = """
democrats republicans
democrat republican
dems repubs
liberals conservatives
liberal conservative
leftists rightists
leftist rightist
left-wing right-wing
libtards trumptards
socialists capitalists
communists fascists
antifa militias
biden trump
obama bush
pelosi mcconnell
"""  # those of one line stand against each other
_OPPOSITE = {
    word: other
    for line in _CAMPS.split("\n")
    for one, two in [line.split()] * bool(line)
    for word, other in ((one, two), (two, one))
}
_CAMP = re.compile(rf"\b(?:{'|'.join(_OPPOSITE)})\b", re.IGNORECASE)
_DISAVOWALS = (
    "jk", "j/k", "/s", "kidding obviously", "for legal reasons this is a joke", "in a video game",
    "haha just playing", "peace and love y'all", "no offense", "dont take me serious", "(satire)",
    "relax its a joke", "I don't mean it literally", "nah im messing", "joke!!", "in roblox",
    "good vibes only", "hypothetically", "legal disclaimer: not serious", "bless you all though",
)  # fmt: skip


def swap_camps(text: str) -> str:
    """Name the opposite camp wherever a text names one."""
    return _CAMP.sub(lambda found: in_case_of(found[0], _OPPOSITE[found[0].lower()]), text)


def naming_camps(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return which texts name a camp, and these with the opposite one."""
    swapped = {at: swap_camps(text) for at, text in enumerate(texts)}
    named = [at for at, text in enumerate(texts) if swapped[at] != text]
    return named, [swapped[at] for at in named]


def trick(text: str, name: str, calm: Sequence[str]) -> str:
    """Return a text under an attack on its words, ``pad`` or ``disavow``; the same one each time.

    :param calm: posts to pad with.
    """
    if name not in ("pad", "disavow"):
        return attack(text, name, seed=1)
    rng = random.Random(f"{name}:{text}")  # noqa: S311  # nothing secret
    if name == "disavow":
        return f"{text} {rng.choice(_DISAVOWALS)}"
    parts = rng.choices(calm, k=rng.randint(1, 3)) if calm else []
    before = rng.randint(0, len(parts))
    return " ".join([*parts[:before], text, *parts[before:]])
