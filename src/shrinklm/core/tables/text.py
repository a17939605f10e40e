"""Bytes of a file → text: UTF-8 and UTF-16 are recognised, any other encoding is named by the user."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import Path

from ..errors import TableError

_BLOCK = 1 << 20
_LINES = 1 << 16
"""Characters of lines that are read together."""
_SAMPLE = 4096
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GUESSES = (
    ("cp932", "CP932", "Japanese"),
    ("euc_jp", "EUC-JP", "Japanese"),
    ("gb18030", "GB18030", "Chinese"),
    ("big5", "BIG5", "Chinese"),
    ("cp949", "CP949", "Korean"),
    ("cp1251", "WINDOWS-1251", "Cyrillic"),
    ("cp1253", "WINDOWS-1253", "Greek"),
    ("cp1250", "WINDOWS-1250", "Central European"),
    ("cp1252", "WINDOWS-1252", "Western European"),
    ("mac_roman", "MACINTOSH", "old Mac"),
)
"""(Python's name, iconv's, for whom) of the encodings that tables are still saved in."""


def open_text(path: Path, name: str, encoding: str | None) -> io.TextIOWrapper:
    """The file as text, line ends as they are, its whole content known to decode.

    Raises TableError: it is empty, no text, or in an encoding that is neither named nor recognised.
    """
    found = encoding_of(path, name, encoding)
    return path.open(encoding=found, newline="")


def encoding_of(path: Path, name: str, asked: str | None) -> str:
    """The encoding of a file. Raises TableError as `open_text` does."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if not head.strip() and not path.read_bytes().strip():
        raise TableError(f"{name} is empty. A table needs a header and at least one row.")
    if head[:4] in (b"PK\x03\x04", b"PAR1") or head[:2] in (b"\x1f\x8b", b"\xd0\xcf"):
        raise TableError(f"{name} is no text: {_KINDS[head[:2]]}. Give it the suffix of what it is, or save it as CSV.")
    marked = next((codec for mark, codec in _MARKS if head.startswith(mark)), None)
    codec = _known(name, asked) if asked else marked or _wide(head) or "utf-8"
    if asked and marked and not codecs.lookup(asked).name.startswith("utf"):
        codec = marked  # a byte order mark leaves no doubt
    elif asked and codecs.lookup(asked).name == "utf-8":
        codec = "utf-8-sig"
    _check(path, name, codec, asked)
    return "utf-8-sig" if codec == "utf-8" else codec


_KINDS = {
    b"PK": "it is a zip archive, such as an .xlsx workbook",
    b"PA": "it is a .parquet file",
    b"\x1f\x8b": "it is packed by gzip (unpack it with: gunzip FILE)",
    b"\xd0\xcf": "it is an old Excel workbook (.xls)",
}


def _known(name: str, asked: str) -> str:
    try:
        if codecs.lookup(asked)._is_text_encoding:
            return asked
    except LookupError:
        pass
    raise TableError(f"{name}: no encoding is called '{asked}'. Such as utf-8, utf-16, cp1252, shift_jis, gb18030.")


def _wide(head: bytes) -> str | None:
    """UTF-16 without a byte order mark: every other byte of its blanks, commas and Latin letters is NUL."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    # East Asian texts have few Latin letters, but a table has delimiters and line ends.
    if max(even, odd) < max(2, len(head) // 40) or min(even, odd) > max(even, odd) // 10:
        return None
    codec = "utf-16-be" if even > odd else "utf-16-le"
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return None
    return codec if "\0" not in text else None


def _check(path: Path, name: str, codec: str, asked: str | None) -> None:
    decoder = codecs.getincrementaldecoder(codec)()
    before, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=before + len(block) >= size)
            except UnicodeDecodeError as error:
                raise TableError(_undecoded(path, name, codec, asked, before - pending + error.start)) from error
            if "\0" in text:
                _no_nul(path, name, codec)
            before += len(block)


def _no_nul(path: Path, name: str, codec: str) -> None:
    with path.open(encoding=codec, newline="") as file:
        line = next(number for number, line in enumerate(file, 1) if "\0" in line)
    raise TableError(
        f"{name}, line {line}: a NUL byte, which no text has. The file is damaged or in another encoding; "
        f"take them out: tr -d '\\000' < {path.name} > clean{path.suffix}"
    )


def _undecoded(path: Path, name: str, codec: str, asked: str | None, place: int) -> str:
    data = path.read_bytes()
    start = data.rfind(b"\n", 0, place) + 1
    line = data.count(b"\n", 0, place) + 1
    where = f"{name}, line {line}, byte {place - start + 1}"
    told = "UTF-8" if codec.startswith("utf-8") else codec
    found = f"{where}: 0x{data[place]:02x} is not {told}."
    guesses = likely(data)
    if not guesses:
        return f"{found} The file is damaged, or in an encoding that is not known here. Save it as UTF-8."
    sample = data[start : data.find(b"\n", place) if b"\n" in data[place:] else len(data)]
    readings = [f"{python} ({people}): {_piece(sample, python)}" for python, _, people in guesses]
    python, iconv, _ = guesses[0]
    choose = "It reads" if len(readings) == 1 else "Take the encoding in which it reads right. It reads"
    return (
        f"{found} {choose} as "
        + "; as ".join(readings)
        + f". In a recipe write under task: encoding: {python}; or save "
        f"the file as UTF-8: iconv -f {iconv} -t UTF-8 {path.name} > utf8{path.suffix}"
    )


def _piece(line: bytes, codec: str) -> str:
    text = line.decode(codec, "replace").strip()
    first = next((index for index, mark in enumerate(text) if not mark.isascii()), 0)
    return f"“{text[max(0, first - 20) : first + 20]}”"


def likely(data: bytes) -> list[tuple[str, str, str]]:
    """The encodings that a text without UTF-8 may be in, the likeliest first, at most three."""
    scored = []
    for guess in _GUESSES:
        try:
            text = data.decode(guess[0])
        except UnicodeDecodeError:
            continue
        share = _plausible(text, guess[0])
        if share > 0.5:
            scored.append((share, guess))
    scored.sort(key=lambda item: -item[0])  # stable: on a tie the order of the table
    best = scored[0][0] if scored else 0
    return [guess for share, guess in scored if share > best - 0.3][:3]


_COMMON = 0xA1
"""Both bytes of the 2,350 syllables of KS X 1001 are at least this."""
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = {
    "cp1251": re.compile(r"[Ѐ-ӿ]"),
    "cp1253": re.compile(r"[Ͱ-Ͽ]"),
    "cp949": re.compile(r"[가-힣]"),
    "cp1250": re.compile(r"[À-ſ]"),
    "cp1252": re.compile(r"[À-ÿœŒšŠžŽŸ]"),
    "mac_roman": re.compile(r"[À-ÿœŒŸ]"),
}
_MARKS_OF = re.compile(r"[‘’“”„‚–—…€£¥§©®°«»¿¡·、。，！？：；（）「」『』《》【】 ]")
_KANA = re.compile(r"[\u3040-\u30ff]")


def _plausible(text: str, codec: str) -> float:
    """The share of the characters beyond ASCII that a text in this encoding would have."""
    beyond = [mark for mark in text if not mark.isascii()]
    marks = sum(bool(_MARKS_OF.match(mark)) for mark in beyond)
    letters = len(beyond) - marks
    if not beyond:
        return 0.0
    if codec in _SCRIPTS:
        fitting = sum(bool(_SCRIPTS[codec].match(mark)) for mark in beyond)
        if codec in ("cp1252", "mac_roman", "cp1250"):
            # Words of Latin script are mostly ASCII; what is left of another script is not.
            words = [word for word in _WORD.findall(text) if not word.isascii()]
            odd = sum(sum(not mark.isascii() for mark in word) > max(2, len(word) // 2) for word in words)
            fitting -= 2 * odd
            # Where both read the text, the Western one is far more common.
            return (fitting + marks) / len(beyond) - {"cp1252": 0, "cp1250": 0.1, "mac_roman": 0.2}[codec]
        if codec in ("cp1251", "cp1253"):
            words = [word for word in _WORD.findall(text) if not word.isascii()]
            mixed = sum(any(mark.isascii() for mark in word) or _swings(word) for word in words)
            return (fitting + marks) / len(beyond) - mixed / max(1, len(words))
        # Of the many syllables that can be written few are: other scripts read in this encoding hit the rare ones.
        fitting = sum(bool(_SCRIPTS[codec].match(mark)) and min(mark.encode(codec)) >= _COMMON for mark in beyond)
        # Korean puts blanks between its words; much of it can be read as common Chinese characters as well.
        return (fitting + marks) / len(beyond) + (0.1 if fitting + marks >= 0.97 * len(beyond) else -0.1)
    common = {"cp932": "shift_jis", "euc_jp": "euc_jp", "gb18030": "gb2312", "big5": "big5"}[codec]
    kana = len(_KANA.findall(text))
    fitting = sum(_encodes(mark, common) and not "\uff61" <= mark <= "\uff9f" for mark in set(beyond))
    share = fitting / len(set(beyond))
    if codec in ("cp932", "euc_jp"):
        return share if kana or letters < 4 else share - 0.2
    return share - (0.5 if kana else 0.05 if codec == "big5" else 0)


def _swings(word: str) -> bool:
    """Whether capitals stand inside a word: Cyrillic read in a wrong encoding looks so."""
    return len(word) > 1 and not word.isupper() and any(mark.isupper() for mark in word[1:])


def _encodes(mark: str, codec: str) -> bool:
    try:
        mark.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def blocks(path: Path, encoding: str) -> Iterator[tuple[Sequence[int], list[str]]]:
    """The lines of a file in the encoding of `encoding_of` that are not blank, some hundred at a time, with their
    numbers from 1.

    They are split at line feeds alone: a JSON text may hold other line ends.
    """
    start = 1
    with path.open(encoding=encoding, newline="\n") as file:
        while block := file.readlines(_LINES):
            numbers: Sequence[int] = range(start, start + len(block))
            start += len(block)
            if any(map(str.isspace, block)):
                kept = [not line.isspace() for line in block]
                numbers, block = list(compress(numbers, kept)), list(compress(block, kept))
            yield numbers, block
