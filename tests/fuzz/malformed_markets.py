"""Malformed folders of market files: a good day, spoilt in a file, in its rows, or in the folder itself."""

from __future__ import annotations

import os
import random
import zipfile
from functools import lru_cache
from pathlib import Path

from front_door import g2g
from malformed_case import Case
from spoiling import LONG, spoil_place, spoil_text

from g2g_opt.transmission.market_files import load_market_files
from g2g_opt.transmission.series import zone_names

AREA = "markets"

_DAY = "2019-02-12"
_DIGITS = _DAY.replace("-", "")
_CELLS = (
    "", " ", "x", "nan", "inf", "-inf", "1e308", "1e400", "-1e308", "-5", "9" * 5000, "9" * LONG, "a" * LONG, "0x10",
    "1,5", '"', '"1', "\0", "ä", "#", "=1",
    "02/12/2019 25:00", "13/12/2019 01:00", "02/30/2019 01:00", "2019-02-12 01:00", "02/12/2019 1:60",
    "02/13/2019 00:00", "02/12/9999 00:00",
    "02/12/0000 00:00", "00/00/0000 00:00", "٠٢/١٢/٢٠١٩ ٠١:٠٠", "EST", "EDT", "PST", "WEST", "NOWHERE", "Wind", "1e18",
    "1 000",
)  # fmt: skip


@lru_cache
def _files() -> dict[str, str]:
    """Texts of the three files of a day, as they come."""
    stamps = [f"02/12/2019 {hour:02d}" for hour in range(24)]
    zones = zone_names()
    load = [f'"{s}:00:00","EST","{z.upper()}",1,{1000 + k}' for k, s in enumerate(stamps) for z in zones]
    forecast = [f'"{s}:00",{",".join(["2000"] * len(zones))},22000' for s in stamps]
    fuels = [
        f"{s}:{5 * k:02d}:00,EST,{fuel},{100 + k}"
        for s in stamps
        for k in range(12)
        for fuel in ("Wind", "Other Renewables")
    ]
    header = ",".join(f'"{name}"' for name in ("Time Stamp", *zones, "NYISO"))
    return {
        f"{_DIGITS}palIntegrated.csv": "\n".join(
            ('"Time Stamp","Time Zone","Name","PTID","Integrated Load"', *load, "")
        ),
        f"{_DIGITS}isolf.csv": "\n".join((header, *forecast, "")),
        f"{_DIGITS}rtfuelmix.csv": "\n".join(("Time Stamp,Time Zone,Fuel Category,Gen MW", *fuels, "")),
    }


def make(rng: random.Random, folder: Path) -> Case:
    """A market folder that should be refused: read as it is, or by a day-ahead study."""
    market = folder / "market"
    market.mkdir()
    for name, text in _files().items():
        (market / name).write_text(text, encoding="utf-8")
    name = rng.choice(list(_files()))
    path = market / name
    way = rng.choices([_cell, _rows, _text, _archive, _folder, _place], weights=[40, 14, 22, 14, 12, 6])[0]
    words, must_name = way(rng, path)
    by_line = rng.random() < 0.25

    def act() -> object:
        if by_line:
            return g2g(
                "coordination", "--kind", "day-ahead", "--market-files", str(market), "--first", _DAY, "--last", _DAY,
                "--days", "1", "--out", str(folder / "out"),
            )  # fmt: skip
        return load_market_files(market, _DAY, _DAY)

    return Case(
        AREA,
        f"{name}: {words}",
        act,
        must_name,
        () if not must_name else (r"line|column|20190212|archive|zip|folder|header|zone|category",),
    )


_Named = tuple[str, tuple[str, ...]]


def _cell(rng: random.Random, path: Path) -> _Named:
    lines = path.read_text(encoding="utf-8").splitlines()
    row = rng.choice([0, 1, rng.randrange(len(lines)), len(lines) - 1])
    cells = lines[row].split(",")
    column = rng.randrange(len(cells))
    cells[column] = rng.choice(_CELLS)
    lines[row] = ",".join(cells)
    path.write_text("\n".join(lines), encoding="utf-8")
    return f"line {row + 1}, column {column} = {cells[column][:20]!r}", (_DIGITS,)


def _rows(rng: random.Random, path: Path) -> _Named:
    lines = path.read_text(encoding="utf-8").splitlines()
    k = rng.randrange(1, len(lines))
    words, found = rng.choice(
        [
            ("only a header", lines[:1]),
            ("half a day", lines[: len(lines) // 2]),
            ("one row", lines[:2]),
            ("a short row", [*lines[:k], lines[k][:10], *lines[k + 1 :]]),
            ("a row of commas", [*lines[:k], "," * 100_000, *lines[k:]]),
            ("all rows twice", [*lines, *lines[1:]]),
            ("rows in reverse", [lines[0], *lines[:0:-1]]),
            ("no header", lines[1:]),
            ("a first line of 200,000 letters", ["a" * LONG, *lines]),
            ("a first line of 200,000 commas", ["," * LONG, *lines]),
            ("a line of 200,000 letters", [*lines[:k], "a" * LONG, *lines[k:]]),
            ("the header of another file", ["Time Stamp,Name,Load", *lines[1:]]),
            ("a column twice", [f"{lines[0]},Time Stamp", *lines[1:]]),
        ]
    )
    path.write_text("\n".join(found), encoding="utf-8")
    return f"rows: {words}", (_DIGITS,)


def _text(rng: random.Random, path: Path) -> _Named:
    words, data = spoil_text(rng, path.read_text(encoding="utf-8"))
    path.write_bytes(data)
    return words, (_DIGITS,)


def _place(rng: random.Random, path: Path) -> _Named:
    return f"the file is {spoil_place(rng, path)}", (_DIGITS,)


def _archive(rng: random.Random, path: Path) -> _Named:
    """The day's file within the month's archive, which is spoilt."""
    kind = path.name[len(_DIGITS) : -len(".csv")]
    archive = path.with_name(f"{_DIGITS[:6]}01{kind}_csv.zip")
    text = path.read_text(encoding="utf-8")
    path.unlink()
    words = rng.choice(
        ["whole", "cut", "flipped", "random bytes", "empty", "a bomb", "a folder of that name", "encrypted by its flag",
         "an unknown compression", "the file twice", "a wrong checksum", "spoilt text", "a folder inside"]
    )  # fmt: skip
    if words == "a folder of that name":
        archive.mkdir()
        return f"archive: {words}", (_DIGITS[:6],)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        if words == "a bomb":
            with opened.open(path.name, "w", force_zip64=True) as file:
                for _ in range(100):
                    file.write(b"0" * 10_000_000)
        elif words == "spoilt text":
            opened.writestr(path.name, spoil_text(rng, text)[1])
        elif words == "a folder inside":
            opened.writestr(f"{path.name}/", "")
        else:
            opened.writestr(path.name, text)
            if words == "the file twice":
                opened.writestr(f"again/{path.name}", text)
    data = bytearray(archive.read_bytes())
    if words == "cut":
        data = data[: rng.randrange(len(data))]
    elif words == "flipped":
        for _ in range(20):
            data[rng.randrange(len(data))] ^= 0xFF
    elif words == "random bytes":
        data = bytearray(rng.randbytes(1000))
    elif words == "empty":
        data = bytearray()
    elif words == "encrypted by its flag":
        data[6] |= 1
        data[data.rfind(b"PK\x01\x02") + 8] |= 1
    elif words == "an unknown compression":
        data[8] = 99
        data[data.rfind(b"PK\x01\x02") + 10] = 99
    elif words == "a wrong checksum":
        data[data.rfind(b"PK\x01\x02") + 16] ^= 0xFF
    archive.write_bytes(bytes(data))
    return f"archive: {words}", (_DIGITS[:6],)


def _folder(rng: random.Random, path: Path) -> _Named:
    market = path.parent
    words = rng.choice(
        ["empty", "a file", "missing", "a link to itself", "a loop of folders", "a file twice",
        "a name that is no text", "a pipe in it",
         "a folder that may not be read", "a link to nothing with the file's name", "a huge file in it", "deep folders"]
    )  # fmt: skip
    if words in ("empty", "a file", "missing", "a link to itself"):
        for file in market.iterdir():
            file.unlink()
    if words in ("a file", "missing", "a link to itself"):
        market.rmdir()
    if words == "a file":
        market.write_text("words", encoding="utf-8")
    elif words == "a link to itself":
        market.symlink_to(market.name)
    elif words == "a loop of folders":
        (market / "again").symlink_to(".")
    elif words == "a file twice":
        (market / "more").mkdir()
        (market / "more" / path.name.upper()).write_text("", encoding="utf-8")
    elif words == "a name that is no text":
        (market / os.fsdecode(b"\xe9.csv")).write_text("", encoding="utf-8")
    elif words == "a pipe in it":
        os.mkfifo(market / "pipe")
    elif words == "a link to nothing with the file's name":
        path.unlink()
        path.symlink_to("nowhere")
    elif words == "a huge file in it":
        with (market / "huge.bin").open("wb") as file:
            file.truncate(10**12)
    elif words == "deep folders":
        deep = market
        for _ in range(60):
            deep = deep / "d"
        deep.mkdir(parents=True)
    return f"folder: {words}", ()
