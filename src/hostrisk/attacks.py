"""Write texts as people do who want to be read but not found; each attack is one function.

Some change words (look-alikes, leetspeak, letters set apart), some what stands around them (a calm
text before or behind, a disavowal). Jigsaw-style obfuscations: Gröndahl et al. 2018, "All You Need
is 'Love'"; Röttger et al. 2021, "HateCheck". :func:`noise` makes harmless strings that look odd.
"""

from __future__ import annotations

import random
import re
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ATTACKS", "NOISE", "attack", "noise"]

# Links, mentions and hashtags come first, so that they are found and left alone.
_WORD = re.compile(r"https?://\S+|[@#]\w+|\b[A-Za-z]{3,}\b")
_HOMOGLYPHS = str.maketrans("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ")  # noqa: RUF001
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_ZERO_WIDTH = "\u200b\u200c\u2060\u00ad"
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of the keyboard
_KEYBOARD = {
    key: row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
    for row in _ROWS
    for at, key in enumerate(row)
}
_EMOJI = {
    "shoot": "\U0001f52b", "shot": "\U0001f52b", "gun": "\U0001f52b", "guns": "\U0001f52b",
    "knife": "\U0001f52a", "stab": "\U0001f52a", "bomb": "\U0001f4a3", "bombs": "\U0001f4a3",
    "burn": "\U0001f525", "fire": "\U0001f525", "dead": "\U0001f480", "die": "\U0001f480",
    "death": "\U0001f480", "blood": "\U0001fa78", "kill": "\U0001f52a", "rope": "\U0001faa2",
    "head": "\U0001f464", "house": "\U0001f3e0", "you": "\U0001faf5", "police": "\U0001f46e",
}  # fmt: skip
_CALM = (
    "Lovely weather today, we walked the dog along the river and had coffee with my sister after.",
    "The bakery on the corner has new opening hours and the bread is better than ever.",
    "Season two was slower but the soundtrack is great and I liked the ending a lot.",
    "Thanks to everyone who came to the library sale, we raised enough for the new shelves.",
)


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


def _misspelling(word: str, rng: random.Random) -> str:
    """Swap two letters, leave one out, double one, or hit the key beside it."""
    at = rng.randrange(1, len(word) - 1)
    first, here, following = word[:at], word[at], word[at + 1 :]
    near = rng.choice(_KEYBOARD.get(here.lower(), here))
    return rng.choice(
        (
            first + following[0] + here + following[1:],
            first + following,
            first + here * 2 + following,
            first + near + following,
        )
    )


def _emoji(word: str, _: random.Random) -> str:
    return _EMOJI.get(word.lower(), word)


def _padding_before(text: str, rng: random.Random) -> str:
    return " ".join([*rng.sample(_CALM, 3), text])


def _padding_after(text: str, rng: random.Random) -> str:
    return " ".join([text, *rng.sample(_CALM, 3)])


def _disavowal(text: str, rng: random.Random) -> str:
    endings = (
        "just kidding, peace to all", "lol jk", "(in minecraft)", "this is a joke, officer",
        "allegedly", "only joking, love to everyone",
    )  # fmt: skip
    return f"{text} {rng.choice(endings)}"


def _quotation(text: str, rng: random.Random) -> str:
    left, right = rng.choice(('""', "\u201c\u201d", "''", "\u00ab\u00bb"))
    return f"{left}{text}{right}"


_WORDS: dict[str, Callable[[str, random.Random], str]] = {
    "zero_width": _zero_width,
    "homoglyph": _homoglyph,
    "leet": _leet,
    "spacing": _spacing,
    "stretching": _stretching,
    "misspelling": _misspelling,
    "case": _case,
    "emoji": _emoji,
}
_TEXTS: dict[str, Callable[[str, random.Random], str]] = {
    "padding_before": _padding_before,
    "padding_after": _padding_after,
    "disavowal": _disavowal,
    "quotation": _quotation,
}
ATTACKS = (*_WORDS, *_TEXTS)


def attack(text: str, name: str, *, share: float = 0.5, seed: int = 0) -> str:
    """Attack a text, in the same way for the same text and seed.

    :param name: one of ``ATTACKS``.
    :param share: of the words that an attack on words changes.
    """
    rng = random.Random(f"{seed}:{name}:{text}")  # noqa: S311  # nothing secret
    if name in _TEXTS:
        return _TEXTS[name](text, rng)

    def change(match: re.Match[str]) -> str:
        word = match[0]
        return _WORDS[name](word, rng) if word.isalpha() and rng.random() < share else word

    return _WORD.sub(change, text)


# --- harmless strings that look odd --------------------------------------------------------------


def _pick(rng: random.Random, letters: str, low: int, high: int) -> str:
    return "".join(rng.choices(letters, k=rng.randint(low, high)))


def _id(rng: random.Random) -> str:
    digits = string.hexdigits.lower()[:16]
    forms = (
        "-".join(_pick(rng, digits, size, size) for size in (8, 4, 4, 4, 12)),
        _pick(rng, digits, 32, 64),
        _pick(rng, string.ascii_letters + string.digits, 11, 22),
        f"{_pick(rng, string.ascii_uppercase, 2, 4)}-{rng.randint(1000, 999999)}",
    )
    return rng.choice(("order ", "ref: ", "", "commit ", "ticket ")) + rng.choice(forms)


# Lines of programs and logs; {verb}, {noun} and {thing} are words as programmers use them.
_CODE = (
    "for {a} in range({n}): {b}.append({a} * 2)",
    "if ({a} != null && {b}[{n}] > 0x{n:04x}) return;",
    "{verb} -9 {n} && rm /tmp/{a}.lock",
    "select {a}, count(*) from {b} group by {a} having count(*) > {n}",
    "ERROR {a}.{b}: child process {n} killed by signal 9, aborting",
    "def {verb}_{a}(self, {noun}): return self.{b}.{verb}({noun})",
    "WARN [{a}-{n}] failed to {verb} {noun}, retrying in {n} ms",
    "{a}.on('{verb}', ({noun}) => {b}.{verb}({noun}.{a}))",
    "test_{verb}_{noun}_{a} FAILED at {b}.py:{n}",
    "fatal: {verb} hook declined, {noun} {n} unreachable",
    "git commit -m 'fix: do not {verb} the {noun} twice (#{n})'",
    "npm ERR! {a}@{n}: command failed, {thing} {verb} timed out",
    "INFO {thing} {n} will {verb} all {noun}s older than {n} days",
    "raise RuntimeError(f'cannot {verb} {noun} while {thing} is running')",
    "systemd[{n}]: {a}.service: main {thing} exited, code=killed, status=9/KILL",
    "kernel: Out of memory: Kill process {n} ({a}) score {n} or sacrifice child",
    "- [ ] {verb} the {thing} before release {n}",
    "CREATE TRIGGER {verb}_{a} AFTER INSERT ON {b} EXECUTE PROCEDURE {verb}_{noun}();",
    "public void {verb}(List<{noun}> targets) {{ targets.forEach({a}::{verb}); }}",
    "{thing}: {noun} {n} is hung, about to {verb} it",
    "assert {a}.{verb}({noun}={n}) is None",
    "docker {verb} {a} || docker rm -f {b}",
    "// TODO: the {thing} must {verb} every {noun} or we leak {n} bytes",
    '{{"action": "{verb}", "{noun}": {n}, "target": "{a}"}}',
    "player.{verb}(enemy, damage={n}); enemy.die()",
    "E/{a}: {noun} {verb} failed: dead {thing} exception",
    "sudo pkill -f {a} # {verb} the {thing} and its zombies",
    "DROP TABLE {a}; -- {verb} {noun}s",
    "{n} passed, {n} failed, 1 crashed: {verb}_{thing}",
    "http {n} POST /api/{noun}/{n}/{verb} 204 {a}",
)
_VERBS = ("kill", "fire", "execute", "attack", "hang", "destroy", "hit", "terminate", "crash",
          "purge", "abort", "trigger", "nuke", "kill_all", "evict", "poll", "load", "merge",
          )  # fmt: skip
_NOUNS = ("target", "child", "orphan", "worker", "slave", "enemy", "victim", "job", "user", "node")
_THINGS = (
    "master",
    "daemon",
    "zombie reaper",
    "dead letter queue",
    "process",
    "thread",
    "watchdog",
)


def _code(rng: random.Random) -> str:
    a, b = (_pick(rng, string.ascii_lowercase, 3, 8) for _ in range(2))
    verb, noun, thing = (rng.choice(words) for words in (_VERBS, _NOUNS, _THINGS))
    line = rng.choice(_CODE)
    return line.format(a=a, b=b, n=rng.randint(1, 99999), verb=verb, noun=noun, thing=thing)


def _place(rng: random.Random) -> str:
    latitude, longitude = rng.uniform(-90, 90), rng.uniform(-180, 180)
    street = _pick(rng, string.ascii_uppercase, 1, 2)
    number, minute, block = rng.randint(1, 9999), rng.randint(0, 59), rng.randint(100, 999)
    return rng.choice((
        f"{latitude:.5f}, {longitude:.5f}",
        f"{abs(latitude):.0f}°{minute}'N {abs(longitude):.0f}°{minute}'W",
        f"meet at {number} {street} St, {rng.randint(1, 12)}:{minute:02d} pm",
        f"+{rng.randint(1, 99)} {block} {rng.randint(100, 999)} {number:04d}",
    ))  # fmt: skip


def _flags(rng: random.Random) -> str:
    letters = [chr(0x1F1E6 + rng.randrange(26)) + chr(0x1F1E6 + rng.randrange(26))
               for _ in range(rng.randint(1, 5))]  # fmt: skip
    hearts = rng.choices("\u2764\U0001f525\U0001f389\U0001f602\U0001f64f\u2b50\U0001f3c6", k=2)
    return rng.choice((" ", "")).join([*letters, *hearts])


NOISE: dict[str, Callable[[random.Random], str]] = {
    "ids": _id,
    "code": _code,
    "places": _place,
    "emoji flags": _flags,
}


def noise(name: str, count: int, *, seed: int = 0) -> Iterator[str]:
    """Yield harmless strings of a kind of ``NOISE``, the same ones for the same seed."""
    rng = random.Random(f"{seed}:{name}")  # noqa: S311  # nothing secret
    return (NOISE[name](rng) for _ in range(count))
