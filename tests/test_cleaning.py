"""Cleaning undoes tricks, leaves the rest, and knows where each piece came from."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostrisk.attacks import attack
from hostrisk.cleaning import clean, clean_pieces

WORDS = frozenset({"kill", "shoot", "them", "hang", "traitors", "every", "last", "one"})


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("Hang them ALL!!", "hang them all!!"),
        ("don't, you’re", "don't, you’re"),
        ("k1ll th3m", "kill them"),
        ("ak47 on the 4th, b4 1st", "ak47 on the 4th, b4 1st"),  # no words behind those digits
        ("h.a.n.g them", "hang them"),
        ("k i l l t h e m a l l now", "kill them a l l now"),  # fewest words that are known
        ("sh\u200boo\u200bt", "shoot"),
        ("kiiiiill", "kill"),
        ("k\u0456ll", "kill"),  # a Ukrainian letter
        ("#HangThemAll", "#hang them all"),
        ("see https://t.co/a?b=c#d now", "see http now"),
        ("\U0001f52b\U0001f52b\U0001f52b him", "pistol him"),
        ("him\U0001f52b", "him pistol"),
        ("\U0001f44d\U0001f3fd", "thumbs up sign"),  # a skin tone says nothing
        ("a \n\t b", "a b"),
        ("@user1 (really?)", "@user1 (really?)"),
        ("", ""),
        ("?!", "?!"),
    ],
)
def test_what_an_encoder_reads(given_text: str, expected: str) -> None:
    assert clean(given_text, WORDS) == expected


@pytest.mark.parametrize("name", ["zero_width", "homoglyph", "leet", "case"])
def test_attacks_on_known_words_are_undone(name: str) -> None:
    text = "kill them, hang every last! shoot traitors"
    assert clean(attack(text, name, share=1.0), WORDS) == text


@given(st.text(max_size=80))
def test_pieces_lie_in_order_on_the_source(text: str) -> None:
    at = 0
    for piece in clean_pieces(text, WORDS):
        assert at <= piece.start <= piece.end <= len(text)
        at = piece.end
    assert clean(text, WORDS) == "".join(piece.text for piece in clean_pieces(text, WORDS))


def test_words_are_found_again_in_the_source() -> None:
    text = "They   said: k1ll \U0001f52b th3m, at https://t.co/x noon"
    found = {piece.text: text[piece.start : piece.end] for piece in clean_pieces(text, WORDS)}
    assert found["kill"] == "k1ll"
    assert found["them"] == "th3m"
    assert found["noon"] == "noon"
    assert found["pistol"] == "\U0001f52b"


def test_cleaning_takes_time_by_length() -> None:
    rng = random.Random(0)
    text = "".join(rng.choice("ab1 .@#\u200b\U0001f52b/:") for _ in range(100_000))
    assert len(clean(text, WORDS)) < 2_000_000
