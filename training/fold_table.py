"""Generate the fold table: what each code point becomes before words are cut.

Run as ``python -m training.fold_table`` after ``pip install confusable-homoglyphs``. It writes
``src/hostrisk/_fold_table.h`` (kernel) and ``src/hostrisk/_fold_table.py`` (reference) from one
mapping; a test compares the two over all of Unicode. Sources: the Unicode database that ships
with Python (NFKC, names, categories), Unicode confusables through confusable-homoglyphs, and
the look-alikes written out here, which come first.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import unicodedata
import zlib
from importlib import resources
from pathlib import Path

LIMIT = 0x20000  # code points above are handled by two rules in the scanners
SEPARATOR, KEEP, DROP, EMOJI, SPACE = "sep", "keep", "drop", "emoji", "space"
CODES = {SEPARATOR: 0, KEEP: 1, DROP: 2, EMOJI: 3, SPACE: 4}
FIRST_STRING = 16  # entries from here on are indexes into the string pool

SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789@#$!*"
LOOKALIKES = {
    source: target
    for sources, targets in (
        ("авеѕіїјкмнорстухһԁԛԝӏь", "abesiijkmhopctyxhdqwlb"),
        ("АВЕЅІЇЈКМНОРСТУХҺԀԚԜӀ", "abesiijkmhopctyxhdqwl"),
        ("αβγεηικνορτυχως", "abyenikvoptuxws"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx"),
        ("օսհոցՕՍ", "ouhngou"),
    )
    for source, target in zip(sources, targets, strict=True)
}
PUNCTUATION = {"ı": "i", "æ": "ae", "œ": "oe", "ß": "ss", "þ": "th", "ð": "d", "€": "e"}
LATIN_NAME = re.compile(
    r"^(?:NEGATIVE |SQUARED |CIRCLED |PARENTHESIZED )*LATIN (?:SMALL |CAPITAL )?LETTER "
    r"(?:SMALL |CAPITAL |TURNED |REVERSED |OPEN |LONG |DOTLESS |INVERTED |SIDEWAYS |SCRIPT )*"
    r"([A-Z])(?: WITH .*)?$"
)
MARKS = [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F)]
EMOJI_RANGES = [(0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0x1F000, 0x1FAFF)]
INVISIBLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}


def _within(code: int, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _confusable_letters() -> dict[str, str]:
    """Non-ASCII letters whose Unicode confusable is a single ASCII letter."""
    raw = resources.files("confusable_homoglyphs").joinpath("confusables.json").read_text("utf-8")
    found = {}
    for char, twins in json.loads(raw).items():
        letters = [t["c"] for t in twins if len(t["c"]) == 1 and t["c"].isascii()]
        letters = [c.lower() for c in letters if c.isalpha()]
        if len(char) == 1 and ord(char) > 127 and char.isalpha() and letters:
            found[char] = letters[0]
    return found


def _special(char: str, code: int) -> str | None:
    """Classes that do not depend on what the character decomposes to."""
    category = unicodedata.category(char)
    if char.isspace():
        return SPACE
    if char in "'`´‘’ʼ＇" or code in INVISIBLE or category in ("Cf", "Cc") or _within(code, MARKS):
        return DROP
    if 0xFE00 <= code <= 0xFE0F or 0x1F3FB <= code <= 0x1F3FF:
        return DROP
    if 0x1F1E6 <= code <= 0x1F1FF or category in ("Cs", "Co", "Cn") or char in "™©®":
        return SEPARATOR
    return None


def _letters(char: str, confusables: dict[str, str]) -> str:
    """The character as symbols: what it decomposes to, then look-alikes, then names."""
    pieces = []
    for piece in unicodedata.normalize("NFKD", char):
        lower = piece.lower()
        name = LATIN_NAME.match(unicodedata.name(piece, ""))
        if piece in LOOKALIKES or lower in PUNCTUATION:
            pieces.append(LOOKALIKES.get(piece, PUNCTUATION.get(lower, "")))
        elif lower in SYMBOLS:
            pieces.append(lower)
        elif _within(ord(piece), MARKS):
            continue
        elif name:
            pieces.append(name[1].lower())
        elif piece in confusables or lower in confusables:
            pieces.append(confusables.get(piece, confusables.get(lower, "")))
        elif unicodedata.category(piece) == "Nd":
            pieces.append(str(unicodedata.digit(piece)))
        elif unicodedata.category(piece)[0] in "LMN" and len(lower) == 1:
            pieces.append(lower)
    return "".join(pieces)


def entry(char: str, confusables: dict[str, str]) -> str:  # noqa: PLR0911  # one for each class
    """Class name, or the symbols that stand for ``char``."""
    code = ord(char)
    special = _special(char, code)
    if special is not None:
        return special
    if code < 128:
        return char.lower() if char.lower() in SYMBOLS else SEPARATOR
    if 0xAC00 <= code <= 0xD7A3:
        return KEEP  # Hangul syllables would fall apart into their parts
    letters = _letters(char, confusables)
    if letters == char:
        return KEEP
    if letters:
        return letters
    if unicodedata.category(char) == "So" and _within(code, EMOJI_RANGES):
        return EMOJI
    return SEPARATOR


def build() -> tuple[list[int], list[list[int]], list[bytes]]:
    """Return (block of each high byte, blocks of 256 entries, string pool)."""
    confusables = _confusable_letters()
    pool: list[bytes] = []
    index: dict[str, int] = {}
    blocks: list[list[int]] = []
    seen: dict[tuple[int, ...], int] = {}
    directory = []
    for high in range(LIMIT >> 8):
        block = []
        for low in range(256):
            value = entry(chr(high << 8 | low), confusables)
            if value in CODES:
                block.append(CODES[value])
                continue
            if value not in index:
                index[value] = FIRST_STRING + len(pool)
                pool.append(value.encode())
            block.append(index[value])
        key = tuple(block)
        if key not in seen:
            seen[key] = len(blocks)
            blocks.append(block)
        directory.append(seen[key])
    return directory, blocks, pool


def _rows(values: list[int], width: int = 24) -> str:
    lines = (values[i : i + width] for i in range(0, len(values), width))
    return ",\n".join(",".join(map(str, line)) for line in lines)


def header(directory: list[int], blocks: list[list[int]], pool: list[bytes]) -> str:
    """The table as C constants."""
    offsets, text = [0], b""
    for item in pool:
        text += item
        offsets.append(len(text))
    flat = [value for block in blocks for value in block]
    return (
        "/* Generated by python -m training.fold_table; do not edit by hand. */\n"
        f"#define FOLD_LIMIT {LIMIT}\n#define FOLD_FIRST_STRING {FIRST_STRING}\n"
        f"static const uint8_t FOLD_DIRECTORY[] = {{\n{_rows(directory)}}};\n"
        f"static const uint16_t FOLD_BLOCKS[] = {{\n{_rows(flat)}}};\n"
        f"static const uint16_t FOLD_OFFSETS[] = {{\n{_rows(offsets)}}};\n"
        f"static const uint8_t FOLD_POOL[] = {{\n{_rows(list(text))}}};\n"
    )


def module(directory: list[int], blocks: list[list[int]], pool: list[bytes]) -> str:
    """The table as a Python module, packed."""
    data = {"directory": directory, "blocks": blocks, "pool": [p.decode() for p in pool]}
    packed = base64.b85encode(zlib.compress(json.dumps(data).encode(), 9)).decode()
    lines = "\n".join(f'    "{packed[i : i + 90]}"' for i in range(0, len(packed), 90))
    return (
        '"""Generated by python -m training.fold_table; do not edit by hand."""\n\n'
        f"LIMIT = {LIMIT}\nFIRST_STRING = {FIRST_STRING}\nPACKED = (\n{lines}\n)\n"
    )


def main() -> None:
    directory, blocks, pool = build()
    package = Path(__file__).resolve().parent.parent / "src" / "hostrisk"
    (package / "_fold_table.h").write_text(header(directory, blocks, pool), "utf-8")
    (package / "_fold_table.py").write_text(module(directory, blocks, pool), "utf-8")
    print(f"{len(blocks)} blocks, {len(pool)} strings", file=sys.stderr)


if __name__ == "__main__":
    main()
