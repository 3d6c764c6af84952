"""Hostile text made harmless for people to see.

Posts may hold terminal escapes, direction marks and other characters that a terminal or a page
obeys without showing them. Nothing is shown unless ``visible`` has spelled them out.
"""

from __future__ import annotations

import re

__all__ = ["visible"]

# Controls, direction marks, line separators, unseen joiners and tags, halves of characters. The two
# joiners U+200C and U+200D stay: emoji and several scripts need them and no terminal obeys them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)


def visible(text: str, *, keep: str = "") -> str:
    """Spell out every character that a terminal would obey or hide, except those in ``keep``."""

    def spell(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else match[0].encode("unicode_escape").decode()

    return _UNSAFE.sub(spell, text)
