"""Text from data as Markdown that shows it as it is, whichever renderer shows the Markdown.

Everything is spelled out with ``visible`` and escaped, and what a renderer might make a link of
becomes code (CommonMark 0.31, https://spec.commonmark.org; autolinks of GitHub Flavored Markdown,
https://github.github.com/gfm).
"""

from __future__ import annotations

import re
from typing import Any

from hostrisk._visible import visible

__all__ = ["LINKED", "Markdown", "code", "escape", "finalize", "quoted"]

_SPECIAL = re.compile(r"[\\`*_\[\]{}|~$^]")
_AT_START = re.compile(r"(?:[#+=:!-]|\d+(?=[.)]))")
_SPACE = re.compile(r"(\s+)")
# Addresses of any kind, and what renderers take for a bare host name.
LINKED = re.compile(
    r"://|@|\w\.[^\W\d_]{2}|www\.|(?:\d+\.){3}\d|(?:mailto|xmpp|tel):", re.IGNORECASE
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def finalize(value: Any) -> str:
    """Escape what is put into a template, but what is Markdown already."""
    return value if isinstance(value, Markdown) else escape(visible(str(value)).strip())


def escape(line: str) -> Markdown:
    """Escape a line so that it is shown as it is; whatever could become a link is code."""
    parts = (code(part) if LINKED.search(part) else _plain(part) for part in _SPACE.split(line))
    escaped = "".join(parts)
    return Markdown(_AT_START.sub(_escaped_start, escaped, count=1) if _AT_START.match(escaped)
                     else escaped)  # fmt: skip


def _plain(part: str) -> str:
    escaped = _SPECIAL.sub(r"\\\g<0>", part)
    return re.sub("[&<>]", lambda match: _ENTITIES[match[0]], escaped)


def _escaped_start(match: re.Match[str]) -> str:
    # Of a number the dot behind it would make a list, of all else the sign itself.
    return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"


def code(value: Any) -> Markdown:
    """Put a value into code that nothing in it can close."""
    text = visible(str(value))
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text[:1] in ("`", " ", "") or text[-1:] == "`" else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def quoted(text: str) -> Markdown:
    """Put a text into a quotation, line by line, each of them escaped."""
    shown = visible(text.replace("\r\n", "\n"), keep="\n\t")
    lines = [escape(line.strip()) for line in shown.split("\n")]
    quoted = "  \n".join(f"> {line}" if line else ">" for line in lines)
    return Markdown(quoted if shown.strip() else "> (no text)")
