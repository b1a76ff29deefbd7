"""Files that may come from a stranger, read as text, JSON or TOML: whatever is wrong with one ends in an `InputError`.

Every reader of the package goes through here (tables: `csv_files`), so that one kind of trouble has one answer: no such
file, a folder, pipe or device in its place, no permission, too large, another encoding, NUL bytes, nesting beyond any
use, numbers beyond 64 bits.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from g2g_opt.errors import InputError, shown

MIB = 2**20
# Sizes beyond which a file is refused unread: a table (CSV), JSON, and a question in TOML.
TABLE_BYTES_MAX = 512 * MIB
JSON_BYTES_MAX = 8 * MIB
TOML_BYTES_MAX = MIB
# Deeper than any question or policy, and far from what recursion stands.
DEPTH_MAX = 64
# Entries of a folder that are looked at before it is taken for the wrong one.
FOLDER_ENTRIES_MAX = 100_000
# Finite numbers beyond this are slips: no power, time, price or share of a study comes near it in any unit.
NUMBER_MAX = 1e15

_INTEGER_MAX = 2**63
_KEYS_SHOWN_MAX = 60
# A dotted key beyond all use: the parser's time grows with the square of its parts.
_LONG_KEY = re.compile(rf"""(?<![\w\-"'.])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{DEPTH_MAX}}}""")
_DECIMAL_COMMA = re.compile(r"([+-]?[0-9]{1,15}),([0-9]{1,15})")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def os_words(error: OSError) -> str:
    """What the operating system says of a file that cannot be used, in words."""
    if error.errno == errno.ENOENT:
        return "not found"
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself"
    return f"cannot be used: {(error.strerror or str(error)).lower()}"


def file_status(path: Path, what: str) -> os.stat_result:
    """Status of a regular file (links are followed); `InputError` if it is none, or cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            raise InputError(f"{what} {path} is a link to a file that is not there") from error
        raise InputError(f"{what} {path} {os_words(error)}") from error
    except ValueError as error:  # a NUL, or a letter that no file name of this system can have
        raise InputError(f"{what} {shown(str(path))} is no file name: {error}") from error
    _check_regular(found, path, what)
    return found


def _check_regular(found: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((words for test, words in _KINDS if test(found.st_mode)), "no regular file")
        raise InputError(f"{what} {path} is {kind}; give a regular file")


def read_bytes(path: Path, what: str, bytes_max: int = TABLE_BYTES_MAX) -> bytes:
    """The content of a regular file of up to `bytes_max` bytes; errors begin with `what` it is ("profile")."""
    file_status(path, what)
    try:
        # A pipe may have taken the file's place since: opening one must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            _check_regular(found, path, what)
            # Memory for what the file says it holds; some say that they are empty, or grow: all that is read counts.
            content = b"" if found.st_size > bytes_max else file.read(found.st_size + 1)
            if len(content) > found.st_size:
                content += file.read(bytes_max + 1 - len(content))
    except OSError as error:
        raise InputError(f"{what} {path} {os_words(error)}") from error
    except MemoryError as error:
        raise InputError(f"{what} {path} is larger than the memory that is left") from error
    if max(len(content), found.st_size) > bytes_max:
        raise InputError(f"{what} {path} is larger than {bytes_max // MIB} MiB; up to that much is read")
    return content


def read_text(path: Path, what: str, bytes_max: int) -> str:
    """A text file in UTF-8, with or without a byte order mark; `InputError` names the line that is no text."""
    return decoded(read_bytes(path, what, bytes_max), f"{what} {path}")


def decoded(content: bytes, where: str) -> str:
    """Bytes of a file as text; `where` names it in the `InputError` for another encoding or a NUL."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{where} is in UTF-16 or UTF-32; save it as UTF-8")
    if (nul := content.find(b"\0")) >= 0:
        raise InputError(f"{where}, line {_line_of(content, nul)} holds a NUL byte, so it is no text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a byte order mark, places are counted from behind it.
        place = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        raise InputError(
            f"{where}, line {_line_of(content, place)} holds the byte 0x{content[place]:02X}, which is no UTF-8 there; "
            "save it as UTF-8"
        ) from error


def _line_of(content: bytes, place: int) -> int:
    return content.count(b"\n", 0, place) + 1


def read_json(path: Path, what: str) -> Any:
    """The value in a JSON file; `InputError` names what is wrong and where."""
    return parse_json(read_text(path, what, JSON_BYTES_MAX), f"{what} {path}")


def parse_json(text: str, where: str) -> Any:
    """The value of a JSON text; `where` names the text in the `InputError`.

    NaN, numbers beyond 64 bits, NUL characters and nesting of more than `DEPTH_MAX` are refused too.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise InputError(f"{where} is nested too deeply; {DEPTH_MAX} levels are read") from error
    except ValueError as error:  # also for numbers of more digits than Python reads
        raise InputError(f"{where} is no JSON: {error}") from error
    check_plain(value, where, finite=True)
    return value


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table in a TOML file; `InputError` as of `read_json`."""
    text = read_text(path, what, TOML_BYTES_MAX)
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"{what} {path}, line {line}: a key of more than {DEPTH_MAX} parts; it is nested too deeply")
    try:
        value = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{what} {path} is nested too deeply; {DEPTH_MAX} levels are read") from error
    except ValueError as error:  # also for numbers of more digits than Python reads, and days that no month has
        raise InputError(f"{what} {path} is not TOML: {error}") from error
    check_plain(value, f"{what} {path}")
    return value


def check_plain(value: Any, where: str, *, finite: bool = False) -> None:
    """Raise `InputError` with the key for nesting beyond `DEPTH_MAX`, a NUL character, or an integer beyond 64 bits.

    Where numbers must be `finite`, NaN and infinity are refused as well.
    """
    keys: list[Any] = []
    # Iterators of the lists and tables around the value that is looked at: long lists cost no memory.
    around: list[Iterator[tuple[Any, Any]]] = [iter([("", value)])]
    while around:
        for key, item in around[-1]:
            if any(isinstance(text, str) and "\0" in text for text in (key, item)):
                raise InputError(f"{where}: {_dotted([*keys[1:], key])} holds a NUL character; remove it")
            if isinstance(item, int) and abs(item) >= _INTEGER_MAX:
                raise InputError(f"{where}: {_dotted([*keys[1:], key])} is an integer beyond 64 bits")
            if finite and isinstance(item, float) and not math.isfinite(item):
                raise InputError(f"{where}: {_dotted([*keys[1:], key])} is {item}, which is no finite number")
            if isinstance(item, dict | list | tuple):
                keys.append(key)
                if len(keys) > DEPTH_MAX:
                    raise InputError(f"{where}: {_dotted(keys[1:4])} is nested too deeply; {DEPTH_MAX} levels are read")
                around.append(iter(item.items()) if isinstance(item, dict) else iter(enumerate(item)))
                break
        else:
            around.pop()
            if keys:
                keys.pop()


def _dotted(keys: list[Any]) -> str:
    text = ".".join(str(key).replace("\0", "\\0") for key in keys) or "it"
    return text if len(text) <= _KEYS_SHOWN_MAX else f"{text[:_KEYS_SHOWN_MAX]}..."


def decimal_comma_words(text: object) -> str:
    """What is amiss with a text that is a number but for its decimal comma, as the end of a sentence; else nothing."""
    found = _DECIMAL_COMMA.fullmatch(text.strip()) if isinstance(text, str) else None
    return f"; decimals have a point, as in {found[1]}.{found[2]}" if found else ""


def plain_digits(text: str) -> str:
    """The same text; `ValueError` if it holds digits that only Python reads: grouped by "_", or of another script."""
    if "_" in text or not text.isascii():
        raise ValueError(f"{shown(text)} is no plain number")
    return text


def is_number(text: str) -> bool:
    """Whether a text is a number, be it none that is finite."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def finite_number(value: object, where: str, least: float = -NUMBER_MAX, most: float = NUMBER_MAX) -> float:
    """A number of a file, from `least` to `most`; `value` is its text, or what JSON made of it.

    Raises `InputError` beginning with `where` for anything else: a word, a truth value, NaN, infinity, digits that only
    Python reads (`plain_digits`), and numbers out of range.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{where}: {shown(value)} is no number")
    try:
        number = float(plain_digits(value) if isinstance(value, str) else value)
    except ValueError as error:
        raise InputError(f"{where}: {shown(value)} is no number{decimal_comma_words(value)}") from error
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{where}: {shown(value)} is no finite number")
    if not least <= number <= most:
        if (least, most) == (-NUMBER_MAX, NUMBER_MAX):
            wanted = f"between -{NUMBER_MAX:g} and {NUMBER_MAX:g}"
        elif most == NUMBER_MAX:
            wanted = f"{least:g} or more, and below {NUMBER_MAX:g}"
        else:
            wanted = f"from {least:g} to {most:g}"
        raise InputError(f"{where}: {shown(value)} must be {wanted}")
    return number


def text_value(value: object, where: str) -> str:
    """A text of a JSON file; `InputError` beginning with `where` for anything else."""
    if not isinstance(value, str):
        raise InputError(f"{where}: {shown(value)} is no text")
    return value


def list_value(value: object, where: str) -> list[Any]:
    """A list of a JSON file; `InputError` beginning with `where` for anything else."""
    if not isinstance(value, list):
        raise InputError(f"{where}: {shown(value)} is no list")
    return value


def is_folder(path: Path) -> bool:
    """Whether there is a folder; not if the name is none that a folder can have."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def files_below(folder: Path, what: str) -> list[Path]:
    """Everything in a folder and below but folders, in order; links to folders are not followed.

    Raises `InputError` if there is no such folder, it cannot be listed, or it holds more than `FOLDER_ENTRIES_MAX`.
    """
    try:
        found = os.stat(folder)
    except OSError as error:
        raise InputError(f"{what} {folder} {os_words(error)}") from error
    except ValueError as error:
        raise InputError(f"{what} {shown(str(folder))} is no folder name: {error}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{what} {folder} is no folder")
    paths: list[Path] = []
    n_entries = 0

    def refuse(error: OSError) -> None:
        raise InputError(f"{what} {folder}: {error.filename} {os_words(error)}") from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        n_entries += len(folders) + len(names)
        if n_entries > FOLDER_ENTRIES_MAX:
            raise InputError(
                f"{what} {folder} holds more than {FOLDER_ENTRIES_MAX} files; give the folder of the files alone"
            )
        paths += [Path(parent, name) for name in names]
    return sorted(paths)


def absolute_path(name: str, what: str) -> Path:
    """The path in a user's words as seen from the root; `InputError` for a home or a link that leads nowhere.

    A last part that is a link keeps its name, by which the user knows it.
    """
    path = user_path(name, what)
    try:
        return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name
    except RuntimeError as error:
        raise InputError(f"{what} {shown(name)} is a link that leads back to itself") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{what} {shown(name)} is no file name: {error}") from error


def user_path(name: str, what: str) -> Path:
    """The path in a user's words, "~" included; `InputError` for a home that does not exist."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"{what} {shown(name)}: {str(error).lower()}") from error
