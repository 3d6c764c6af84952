"""Spell texts as people do who want to be read but not found; each attack is one function."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

__all__ = ["ATTACKS", "attack"]

# Links, mentions and hashtags come first, so that they are found and left alone.
_WORD = re.compile(r"https?://\S+|[@#]\w+|\b[A-Za-z]{3,}\b")
_HOMOGLYPHS = str.maketrans("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ")
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_ZERO_WIDTH = "\u200b\u200c\u2060\u00ad"


def _zero_width(word: str, rng: random.Random) -> str:
    return "".join(letter + rng.choice(_ZERO_WIDTH) for letter in word[:-1]) + word[-1]


def _homoglyph(word: str, _: random.Random) -> str:
    return word.translate(_HOMOGLYPHS)


def _leet(word: str, _: random.Random) -> str:
    return word.translate(_LEET)


def _spacing(word: str, rng: random.Random) -> str:
    return rng.choice(" .-").join(word)


def _stretching(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word))
    return word[:at] + word[at] * rng.randrange(2, 5) + word[at:]


def _case(word: str, rng: random.Random) -> str:
    return "".join(rng.choice((letter.upper(), letter.lower())) for letter in word)


ATTACKS: dict[str, Callable[[str, random.Random], str]] = {
    "zero_width": _zero_width,
    "homoglyph": _homoglyph,
    "leet": _leet,
    "spacing": _spacing,
    "stretching": _stretching,
    "case": _case,
}


def attack(text: str, name: str, *, share: float = 0.5, seed: int = 0) -> str:
    """Obfuscate a share of the words of a text, the same ones for the same text and seed."""
    rng = random.Random(f"{seed}:{name}:{text}")  # noqa: S311  # nothing secret

    def change(match: re.Match[str]) -> str:
        word = match[0]
        return ATTACKS[name](word, rng) if word.isalpha() and rng.random() < share else word

    return _WORD.sub(change, text)
