"""Which encoding a file of text is in.

By rules: a byte order mark, else UTF-8 if all of it is, else Windows-1252. A part list has too few letters for
statistics: charset-normalizer 3.5 takes short lists in Windows-1252 for Windows-1250, and reads `Ø12` as `Ř12`.
"""

import codecs
from typing import BinaryIO, Final

CHUNK: Final = 1 << 20
MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class BadFile(Exception):
    """The file cannot be loaded; `faults` says why, line by line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def find(file: BinaryIO, given: str = "") -> str:
    """Return the encoding of a file, by the name that Python opens it with.

    Args:
        file: open for reading bytes; seekable.
        given: the encoding that somebody named; it is only checked.

    Raises:
        BadFile: no such encoding, or the bytes are not in it.
    """
    file.seek(0)
    begin = file.read(4)
    if begin.startswith(WORKBOOKS):
        raise BadFile(["this is a workbook: save it as CSV first"])
    if given:
        encoding = _known(given)
        if (line := _undecodable(file, encoding)) is not None:
            raise BadFile([f"line {line}: a byte is not {given}; name another one with --encoding"])
        return encoding
    for encoding in (*_marked(begin), "utf-8", "cp1252"):
        if (line := _undecodable(file, encoding)) is None:
            return encoding
    raise BadFile([f"line {line}: the bytes are not Windows-1252 either; name it with --encoding"])


def _known(name: str) -> str:
    try:
        # Refuses what Python calls an encoding and is none of text.
        "".encode(name)
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise BadFile([f"there is no encoding {name!r}"]) from None
    return "utf-8-sig" if known == "utf-8" else known


def _marked(begin: bytes) -> list[str]:
    """Return the encoding whose mark the file begins with; without one, UTF-16 by its zeros."""
    for mark, encoding in MARKS.items():
        if begin.startswith(mark):
            return [encoding]
    if begin[1::2] == b"\0\0":
        return ["utf-16-le"]
    return ["utf-16-be"] if begin[::2] == b"\0\0" else []


def _undecodable(file: BinaryIO, encoding: str) -> int | None:
    """Return the number of the first line that is not in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    file.seek(0)
    line = 1
    try:
        while chunk := file.read(CHUNK):
            line += decoder.decode(chunk).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return line + error.object[: error.start].decode(encoding, "ignore").count("\n")
    return None
