"""Personal details taken out of posts before they are shown to others.

``redact`` puts ``[e-mail]``, ``[phone]``, ``[@name]``, ``[address]`` and ``[number]`` (network
addresses, national ids, bank cards) in their place. It works by patterns: a name in running words
stays, and so does what is spelled out in a way that no pattern knows, so a person reads what is
published. The library phonenumbers is not used: a post carries no region, without which it finds
only numbers with a country code.

Where a detail is taken out its stretch is blanked, at the same length, before the next kind is
looked for, and all is repeated until nothing is found. So offsets stay those of the original, and
redacting what was redacted changes nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ADDRESS", "KINDS", "Redaction", "redact"]

KINDS = ("e-mail", "phone", "@name", "address", "number")

_Stretch = tuple[int, int]


class Redaction(NamedTuple):
    """A redacted text, and what was removed: kind, start and end in the original, in order."""

    text: str
    removed: tuple[tuple[str, int, int], ...]

    def move(self, start: int, end: int) -> tuple[int, int] | None:
        """Return where a stretch of the original lies in the redacted text.

        A removed detail that the stretch covers is its mark (``[phone]``); one that it cuts into is
        left out. None where nothing is left, or the stretch is empty.
        """
        moved = self._shift(start, at_end=False), self._shift(end, at_end=True)
        return moved if start < end and moved[0] < moved[1] else None

    def _shift(self, at: int, *, at_end: bool) -> int:
        shift = 0
        for kind, start, end in self.removed:
            if at <= start:
                break
            mark = len(_marker(kind))
            if at < end:
                return start + shift + (0 if at_end else mark)
            shift += mark - (end - start)
        return at + shift


def redact(text: str, *, keep: Iterable[str] = ()) -> Redaction:
    """Take personal details out of a text.

    :param keep: handles of public accounts that stay, with or without ``@``, in any case.
    """
    kept = frozenset(name.lstrip("@").casefold() for name in keep)
    seen, at = _seen(text)
    working = _MARKER.sub(_blank, seen.translate(_WIDE))
    removed: list[tuple[str, int, int]] = []
    for _ in range(_ROUNDS):
        before = len(removed)
        for kind, find in _FINDERS:
            found = list(find(working, kept))
            removed += [(kind, at[start], at[end - 1] + 1) for start, end in found]
            working = _blanked(working, found)
        if len(removed) == before:
            break
    removed.sort(key=lambda detail: detail[1])
    return Redaction(_written(text, removed), tuple(removed))


def _written(text: str, removed: Iterable[tuple[str, int, int]]) -> str:
    pieces, at = [], 0
    for kind, start, end in removed:
        pieces += [text[at:start], _marker(kind)]
        at = end
    return "".join([*pieces, text[at:]])


# --- the text that patterns see ------------------------------------------------------------------

_BLANK = "\0"  # what is no longer there; no pattern matches it
_ROUNDS = 8  # two are enough but for texts made to need more
_MARKER = re.compile(r"\[(?:e-mail|phone|@name|address|number)\]")
_UNSEEN = re.compile("[\xad\u200b-\u200f\u2060-\u2064\ufeff]")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0: " ",
    0xA0: " ",
    0x202F: " ",
    0x2019: "'",
}
_URL = re.compile(r"(?:https?|ftp)://\S{1,2000}|www\.\S{1,2000}", re.IGNORECASE)


def _marker(kind: str) -> str:
    return f"[{kind}]"


def _blank(match: re.Match[str]) -> str:
    return _BLANK * len(match[0])


def _seen(text: str) -> tuple[str, list[int] | range]:
    """Return the text without what is not seen, and where each of its letters came from."""
    if not _UNSEEN.search(text):
        return text, range(len(text))
    at = [index for index, char in enumerate(text) if not _UNSEEN.match(char)]
    return "".join([text[index] for index in at]), at


def _blanked(working: str, found: Iterable[_Stretch]) -> str:
    pieces, at = [], 0
    for start, end in found:
        pieces += [working[at:start], _BLANK * (end - start)]
        at = end
    return "".join([*pieces, working[at:]])


# --- e-mail --------------------------------------------------------------------------------------

_TLD = (
    r"(?:com|org|net|edu|gov|mil|info|biz|io|co|me|uk|us|ca|au|nz|ie|de|fr|es|it|nl|be|at|ch|pl|pt|"
    r"se|no|dk|fi|eu|ru|br|mx|in|jp|cn|za|app|dev|example|test)"
)
_DOMAIN = r"(?:[\w-]{1,63}\.){1,8}(?:xn--[\w-]{1,59}|[^\W\d_]{2,24})"
_EMAIL = re.compile(rf"[\w+%-][\w.+%-]{{0,63}}(?:@|%40){_DOMAIN}")
# name at mail dot com, name [at] mail [dot] com, name(at)mail.com, name @ mail.com
_AT = r"(?:[ ]{0,2}[\[({<] ?(?:at|@) ?[\])}>][ ]{0,2})"
_DOT = r"(?:[ ]{0,2}[\[({<] ?(?:dot|\.) ?[\])}>][ ]{0,2}|[ ]{1,2}dot[ ]{1,2})"
_SPELLED = re.compile(
    rf"[\w+-][\w.+-]{{0,63}}(?:(?:{_AT}|[ ]{{1,2}}at[ ]{{1,2}})[\w-]{{1,63}}"
    rf"(?:{_DOT}[\w-]{{1,63}}){{0,3}}{_DOT}{_TLD}|"
    rf"(?:{_AT}|[ ]@[ ])(?:[\w-]{{1,63}}\.){{1,4}}{_TLD})(?!\w)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"(?<=://)[^\s/?#@\0]{1,256}(?=@)")
_CLOSING = ").,;:!?\"'>]}"


def _logins(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    """Yield ``name:password`` in front of a host."""
    yield from (match.span() for match in _LOGIN.finditer(working))


def _queries(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    """Yield all of a query that holds an e-mail address, for the rest tells of the same person."""
    for match in _URL.finditer(working):
        url = match[0].rstrip(_CLOSING)
        start = url.find("?") + 1
        end = url.find("#", start) if "#" in url[start:] else len(url)
        if start and _EMAIL.search(url, start, end):
            yield match.start() + start, match.start() + end


def _emails(working: str, kept: frozenset[str]) -> Iterator[_Stretch]:
    """Yield e-mail addresses, but not the end of a kept ``@name@host``."""
    for match in _EMAIL.finditer(working):
        is_handle = working[max(0, match.start() - 1) : match.start()] == "@"
        if not (is_handle and match[0].casefold() in kept):
            yield match.span()


def _spelled_emails(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    yield from (match.span() for match in _SPELLED.finditer(working))


# --- numbers -------------------------------------------------------------------------------------

_IP4 = re.compile(
    r"(?<![\w.\0-])(?<!version\s)(?<!ver\s)(?<!ver\.)(?<!v\s)(?<!release\s)(?<!build\s)"
    r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?!\w|\.\d)",
    re.IGNORECASE,
)
_IP6 = re.compile(r"(?<![\w:.\0])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,8}(?![\w:])", re.IGNORECASE)
_SSN = re.compile(
    r"(?<![\w\0-])(?!000|666)\d{3}-\d\d-\d{4}(?![\w-])|"
    r"(?<=ssn\s)\d{3}[ -]?\d\d[ -]?\d{4}(?!\d)|(?<=ssn:\s)\d{3}[ -]?\d\d[ -]?\d{4}(?!\d)",
    re.IGNORECASE,
)
_NINO = re.compile(r"(?<![\w\0])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)")
_CARD = re.compile(r"(?<![\w.\0+-])[2-6]\d{3}(?:[ -]?\d){9,15}(?!\w)")


def _is_ip6(words: str) -> bool:
    """Say whether a word is an address of a machine: enough of one, so not ``::`` or a time."""
    from ipaddress import AddressValueError, IPv6Address

    try:
        IPv6Address(words)
    except AddressValueError:
        return False
    return len(words.replace(":", "")) >= 6 and any(char.isdigit() for char in words)


def _is_card(words: str) -> bool:
    """Check the last digit by Luhn's rule (ISO/IEC 7812-1)."""
    digits = [int(char) for char in words if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[::-2])) % 10 == 0


def _numbers(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    found = []
    text = _URL.sub(_blank, working)
    for pattern, is_one in (
        (_IP4, None),
        (_IP6, _is_ip6),
        (_SSN, None),
        (_NINO, None),
        (_CARD, _is_card),
    ):
        found += [
            match.span() for match in pattern.finditer(text) if is_one is None or is_one(match[0])
        ]
    return _apart(found)


def _apart(found: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """Yield stretches in order, without those that begin in one before."""
    last = 0
    for start, end in sorted(found, key=lambda stretch: (stretch[0], -stretch[1])):
        if start >= last:
            yield start, end
            last = end


# --- phone ---------------------------------------------------------------------------------------

_SEPARATED = r"(?:[ ./()-]{0,2}\d)"
_NO_PRICE = r"(?<![\w.\0/$€£-])"
_EXTENSION = r"(?!\d|-\d|\.\d)(?: ?(?:x|ext\.?) ?\d{1,6})?"
_CUES = (
    "|".join(
        rf"(?<=\b{cue})"
        for word in ("phone", "tel", "cell", "mobile", "whatsapp", "fax")
        for cue in (f"{word} ", f"{word}:", f"{word}: ")
    )
    + "".join(
        rf"|(?<=\b{verb}{whom})"
        for verb in ("call", "text", "ring", "dial", "phone")
        for whom in (" ", " me on ", " me at ", " him on ", " her on ", " us on ", " us at ")
    )
    + r"|(?<=number is )|(?<=number: )|(?<=\bwa\.me/)"
)
_PHONES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # +1 (202) 555-0142, +1 and ten digits; other countries have up to fifteen in all
        rf"(?<![\w+\0])\+1{_SEPARATED}{{10}}(?!\d)",
        rf"(?<![\w+\0])\+\(?[2-9]{_SEPARATED}{{7,14}}(?!\d)",
        rf"(?<![\w.\0])00[ -]?[1-9]{_SEPARATED}{{8,13}}(?!\w)",
        # (202) 555-0142, 202-555-0142, 202.555.0142, 1-202-555-0142 x12
        rf"{_NO_PRICE}(?:1[ .-])?(?:\(\d{{3}}\) ?|\d{{3}}-)\d{{3}}[ .-]\d{{4}}{_EXTENSION}",
        rf"{_NO_PRICE}(?:1[ .])?[2-9]\d\d[ .][2-9]\d\d[ .]\d{{4}}{_EXTENSION}",
        rf"{_NO_PRICE}555-\d{{4}}(?!\w|-\d)",
        # 020 7946 0123, (0161) 496 0000, 06.12.34.56.78, 0171/1234567
        rf"{_NO_PRICE}(?<![,:])(?<!isbn )(?<!isbn: )\(?0[1-9]{_SEPARATED}{{7,10}}(?!\w|[.,/-]\d)",
        # call me on 5550142, tel: 612 345 678
        rf"(?:{_CUES})(?:\d[ .-]?){{6,14}}\d(?!\w)",
    )
)
_DATE = re.compile(r"\(?\d{1,2}[./ -]\d{1,2}[./ -](?:19|20)\d\d|(?:19|20)\d\d[./-]\d{1,2}[./-]")
_THOUSANDS = re.compile(r"\+?\d{1,3}(?:\.\d{3})+")


def _phones(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    text = _URL.sub(_blank_unless_phone, working)
    return _apart(
        match.span()
        for pattern in _PHONES
        for match in pattern.finditer(text)
        if not _DATE.match(match[0]) and not _THOUSANDS.fullmatch(match[0])
    )


def _blank_unless_phone(match: re.Match[str]) -> str:
    return match[0] if "://wa.me/" in match[0].lower() else _blank(match)


# --- address -------------------------------------------------------------------------------------

_NAME = r"(?:[A-Z][\w'-]{1,24}\.?|\d{1,3}(?:st|nd|rd|th))"
_ROAD = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Ter|Way|Close|Crescent|Cres|Parkway|Pkwy|Highway|Hwy|Row|Mews|Gardens|Grove|Hill|"
    r"Walk|Circle|Cir|Trail|Alley|Quay)"
)
_NO_ROAD = (
    r"(?:the|of|on|in|a|an|to|down|up|per|and|or|this|that|these|my|our|for|by|at|from|with|is|way|"
    r"hours?|minutes?|mins?|miles?|km|days?|weeks?|years?|people|cars?|lanes?|"
    r"lane|wheel|times|more|off|blocks?)"
)
_POSTCODE = r"(?:[A-Z]{2}\s\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2})"
ADDRESS = re.compile(
    # 12 Elm Street, 4B N. Oak Ave Apt 3, Springfield, IL 62704
    r"(?<![\w.,:$€£/\0-])(?:(?:Flat|Apt\.?|Apartment|Unit|Suite)\s\w{1,5},?\s)?"
    rf"\d{{1,5}}[A-Za-z]?(?:-\d{{1,5}})?,?\s(?:[NSEW]\.?\s)?(?:{_NAME}\s){{1,3}}{_ROAD}\b"
    r"(?:\.(?=,|\s(?:Apt|Apartment|Unit|Suite|Ste|Flat)\b))?(?:\s(?:NW|NE|SW|SE|N|S|E|W)\b)?"
    r"(?:,?\s(?:Apt|Apartment|Unit|Suite|Ste|Flat|#)\.?\s?\w{1,6}\b)?"
    rf"(?:,\s(?:[A-Z][a-z'-]{{1,24}},?\s){{1,3}}{_POSTCODE}\b)?|"
    # 12 elm street
    rf"(?<![\w.,:$€£/\0-])\d{{1,5}}[a-z]?\s(?:(?!{_NO_ROAD}\b)[a-z']{{2,20}}\s){{1,2}}"
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane)\b|"
    # Lindenstraße 12, 12 rue de la Paix, Calle Mayor 5, PO Box 12
    r"\b[A-Z][\w-]{2,24}(?:straße|strasse|str\.|weg|platz|allee|gasse)\s\d{1,4}[a-z]?\b|"
    r"(?<![\w.,:\0-])\d{1,4},?\s(?:bis\s)?(?:rue|boulevard|chemin|impasse)\s(?:de\sla\s|de\sl'|des\s|"
    r"du\s|de\s|d')?[A-Z][\w'-]{1,24}|"
    r"\b(?:Calle|Via|Viale|Plaza|Piazza|Rua)\s(?:[A-Z][\w'-]{1,24},?\s){1,3}\d{1,4}\b|"
    r"\b[Pp]\.?\s?[Oo]\.?\s?[Bb]ox\s\d{1,6}\b"
)
_YEAR = re.compile(r"(?:19|20)\d\d\s")
_SINCE = re.compile(r"\b(?:in|since|by|of|from|until|after|before|the)\s$", re.IGNORECASE)


def _addresses(working: str, _: frozenset[str]) -> Iterator[_Stretch]:
    text = _URL.sub(_blank, working)
    for match in ADDRESS.finditer(text):
        before = text[max(0, match.start() - 8) : match.start()]
        if not (_YEAR.match(match[0]) and _SINCE.search(before)):
            yield match.span()


# --- @name ---------------------------------------------------------------------------------------

# @name, @name.example.org, @name@example.org; not @5pm
_HANDLE = re.compile(
    r"(?<!\w)@(?!\d{1,4}(?::\d\d)?(?:am|pm|h)?\b(?!\w))(?!(?:noon|midnight)\b)"
    r"\w{1,64}(?:[.-]\w{1,64}){0,4}(?:@[\w.-]{0,100}\w)*",
    re.IGNORECASE,
)
_REMOTE = re.compile(rf"(?<!\w)@\w[\w.-]{{0,63}}@{_DOMAIN}")
_HOST = re.compile(r"://\0+@")


def _remote_handles(working: str, kept: frozenset[str]) -> Iterator[_Stretch]:
    """Yield ``@name@host``, before its end is taken for an e-mail address."""
    for match in _REMOTE.finditer(working):
        if match[0].lstrip("@").casefold() not in kept:
            yield match.span()


def _handles(working: str, kept: frozenset[str]) -> Iterator[_Stretch]:
    for match in _HANDLE.finditer(_HOST.sub(_blank, working)):
        if match[0].lstrip("@").casefold() not in kept:
            yield match.span()


_FINDERS: tuple[tuple[str, Callable[[str, frozenset[str]], Iterator[_Stretch]]], ...] = (
    ("@name", _logins),
    ("e-mail", _queries),
    ("@name", _remote_handles),
    ("e-mail", _emails),
    ("e-mail", _spelled_emails),
    ("number", _numbers),
    ("phone", _phones),
    ("address", _addresses),
    ("@name", _handles),
)
