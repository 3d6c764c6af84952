"""The lines of a UTF-8 file, read so that an error can say where in the file it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LONGEST", "Lines", "open_file", "reason"]

# One line or one CSV field beyond this is taken for damage (a quotation mark left open, a binary
# file), not for text: reading on would fill the memory.
LONGEST = 64 << 20


def reason(error: BaseException) -> str:
    """Say in a few words why the system or a library refused."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0].rstrip(".")


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading bytes; a refusal is an InputError."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}") from error


class Lines:
    """The lines of a UTF-8 file, counted, with errors that say where."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.number = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        while raw := self._file.readline(LONGEST):
            self.number += 1
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                raise self._not_utf8(raw, error.start) from error
            if len(raw) == LONGEST:
                raise self.error(f"is longer than {LONGEST:,} bytes")
            if self.number == 1:
                line = line.removeprefix("\ufeff")
            self.bytes += len(raw)
            yield line

    def error(self, problem: str, number: int | None = None) -> InputError:
        """Make an error about a line, the present one if not told."""
        return InputError(f"{self._path}, line {number or self.number} {problem}")

    def _not_utf8(self, raw: bytes, start: int) -> InputError:
        place = f"at byte {self.bytes + start:,}"
        if self.number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return self.error("is UTF-16, not UTF-8; save the file as UTF-8")
        if b"\0" in raw:
            return self.error(f"is not UTF-8 {place} and holds zero bytes: is this a text file?")
        return self.error(f"is not UTF-8: byte 0x{raw[start]:02x} {place}")
