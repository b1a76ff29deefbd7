"""Malformed study files: every valid file, spoilt in its values, its keys, its text, or its place on the disk."""

from __future__ import annotations

import random
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomli_w
from front_door import g2g
from malformed_case import Case
from spoiling import (
    ABSURD_VALUES,
    LONG,
    TOML_VALUES,
    patterns_of,
    places_in,
    replaced,
    spoil_place,
    spoil_text,
    without,
)

from studies.catalogue import STUDIES, make_question, question_toml, question_type

AREA = "toml"

# Questions besides the default ones, so that optional settings are there to be spoilt.
_RICHER: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "hosting-capacity",
        {
            "buses": ["671", "675"], "task": "lm-arena-chat", "precision": "bfloat16", "site_sets": [["671", "675"]],
            "site_shares": [0.5, 0.5], "frontier_points": 3, "throughput_shares": [0.9, 0.8], "scenarios": 59,
            "policy": {"kind": "droop", "margin_pu": 0.001, "settings": [["step_size", 2.0]]},
            "scenario": {"profile": "hudson_valley_2018", "profile_rows": [0, 2, 1], "dt_s": "1/2"},
            "limits": {
                "loading_max_pu": 1.2, "overload_time_max_s": 30.0, "loading_emergency_max_pu": 1.5,
                "violation_integral_max_pu_s": 4.0,
            },
        },
    ),
    ("hosting-capacity", {"buses": ["671"], "gpus_per_replica": 4}),
    (
        "location",
        {
            "feeder": "ieee13", "sites": [
                {"name": "a", "models": [{"model": "llama-3.1-8b", "n_gpus": 800}], "candidates": ["671", "675"]},
                {"name": "b", "models": [{"model": "llama-3.1-70b", "n_gpus": 400, "batch_size": 64}],
                 "candidates": ["632"], "base_kw_per_phase": 20.0},
            ],
            "followed": [["671", "632"]],
        },
    ),
    (
        "siting",
        {
            "mode": "joint", "pv_buses": ["890", "844"], "sweeps": [["pv-cost", [100.0, 200.0]]],
            "sites": [{"name": "dc", "models": [{"model": "llama-3.1-70b", "n_gpus": 800}], "candidates": ["890"]}],
        },
    ),
    ("coordination", {"network": "ieee24", "datacenter_buses": [1, 2], "penetrations": [0.1]}),
    ("coordination", {"kind": "closed-loop", "eps": [10.0], "q": [50]}),
    ("coordination", {"kind": "day-ahead", "n_days": 2}),
    ("coordination", {"refused_max": 0.1, "q": [60], "n_ties": 1}),
    ("load-profile", {"buses": ["671"], "limits": {"loading_max_pu": 1.0, "violation_time_share_max": 0.0}}),
    ("feeder-policy", {"n_training": 2, "n_test": 2}),
    ("communication", {"case": "cigre-lv", "allocators": ["pi"], "n_rows": 20, "n_draws": 2}),
    ("communication", {"buses": ["671"], "outage_start_s": 60.0, "transports": ["udp"], "losses": [0.3]}),
)  # fmt: skip

_STUDY_NAMES = (
    ":dumps", "a:b:c", "os:sep", "builtins:dict", "builtins:print", "json:dumps", "json:nothing", "json", ":", "::",
    "a:", "",
    " ", "hosting_capacity", "Hosting-Capacity", "hosting-capacity ", "os:path", "sys:modules", "nowhere:Study", "..:x",
    "studies.cli:main", "studies.hosting_capacity.study:HostingCapacityStudy", "g2g_opt.feeder:Feeder", "a" * LONG,
    "ä:ö",
    "a\0:b", "\0", "this:s", "antigravity:x", "studies.catalogue:STUDIES", "typing:Any", "pathlib:Path", "/etc/passwd",
    "a.b:c.d",
    "hosting-capacity\n", "numpy:ndarray", ".a:b", "a..b:c", "1:2", 7, 1.5, True, [], {}, ["hosting-capacity"],
    {"name": "siting"}, float("nan"),
)  # fmt: skip


@lru_cache
def _questions() -> tuple[dict[str, Any], ...]:
    made = [question_type(study)() for study in sorted(STUDIES)]
    made += [make_question(study, content) for study, content in _RICHER]
    return tuple(tomllib.loads(question_toml(question)) for question in made)


def make(rng: random.Random, folder: Path) -> Case:
    """A study file that should be refused, in `g2g run`."""
    content = dict(rng.choice(_questions()))
    way = rng.choices(
        [_value, _two_values, _key, _study_name, _text, _writing, _place], weights=[40, 8, 8, 8, 20, 8, 4]
    )[0]
    path = folder / "question.toml"
    words, places = way(rng, content, path)
    arguments = ("run", str(path), "--out", str(folder / "out"))
    return Case(AREA, f"{content.get('study')}: {words}", lambda: g2g(*arguments), (path.name,), places)


def _value(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    place = rng.choice([p for p in places_in(content) if p[0] != "study"])
    value = rng.choice((*ABSURD_VALUES, *TOML_VALUES))
    _write(path, replaced(content, place, value))
    return f"{'.'.join(map(str, place))} = {_short(value)}", _or_whole(place)


def _two_values(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    first, second = (rng.choice([p for p in places_in(content) if p[0] != "study"]) for _ in range(2))
    values = [rng.choice([v for v in ABSURD_VALUES if isinstance(v, (int, float))]) for _ in range(2)]
    spoilt = replaced(content, first, values[0])
    if second in list(places_in(spoilt)):
        spoilt = replaced(spoilt, second, values[1])
    _write(path, spoilt)
    return f"{first} = {values[0]!r:.20}, {second} = {values[1]!r:.20}", (*_or_whole(first), *_or_whole(second))


def _key(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    place = rng.choice([p for p in places_in(content) if isinstance(p[-1], str)])
    table = content
    for part in place[:-1]:
        table = table[part]  # type: ignore[call-overload]
    if rng.random() < 0.3:
        _write(path, without(content, place))
        return f"without {'.'.join(map(str, place))}", ()
    wrong = rng.choice(
        [
            "",
            " ",
            "x",
            f"{place[-1]}s",
            str(place[-1]).upper(),
            "__class__",
            "self",
            "study",
            "a" * 5000,
            "ä",
            "a.b",
            "\t",
            "seed",
        ]
    )
    _write(path, replaced(content, place[:-1], {**table, wrong: 1}))
    return f"{'.'.join(map(str, place[:-1]))} with the key {_short(wrong)}", ()


def _study_name(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    name = rng.choice(_STUDY_NAMES)
    _write(path, {**content, "study": name})
    return f"study = {_short(name)}", ("study", "setting")


def _text(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    words, data = spoil_text(rng, tomli_w.dumps(content))
    path.write_bytes(data)
    return words, ()


def _writing(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    """What TOML's own grammar refuses, or should."""
    key = rng.choice([key for key in content if key != "study"])
    n = rng.choice([50, 500, 3000, 20_000])
    words, value = rng.choice(
        [
            (f"{n} nested lists", "[" * n),
            (f"{n} nested lists, closed", "[" * n + "]" * n),
            (f"{n} nested tables", "{a=" * n),
            (f"{n} nested tables, closed", "{a=" * n + "1" + "}" * n),
            ("5,000 digits", "9" * 5000),
            ("200,000 digits", "9" * LONG),
            ("5,000 digits after the point", "0." + "1" * 5000),
            ("an exponent of 200,000 digits", "1e" + "9" * LONG),
            ("5,000 hexadecimal digits", "0x" + "f" * 5000),
            ("a month 13", "1979-13-01"),
            ("a year 0", "0000-01-01"),
            ("an hour 25", "1979-01-01T25:00:00Z"),
            ("an offset of 99 hours", "1979-01-01T00:00:00+99:00"),
            ("a surrogate as escape", r'"\uD800"'),
            ("an escape beyond Unicode", r'"\UFFFFFFFF"'),
            ("an unknown escape", r'"\q"'),
            ("a control character", '"a\x01b"'),
            ("NUL as escape", r'"a\u0000b.dss"'),
            ("NUL as escape in a CSV's name", r'"a\u0000.csv"'),
            ("an open string", '"abc'),
            ("an open long string", '"""abc'),
            ("nothing", ""),
            ("a bare word", "yes"),
            ("a list without comma", "[1 2]"),
            ("two values", "1 2"),
            ("leading zeros", "007"),
            ("underscores", "1__0"),
            ("a name of 5,000 letters", '"' + "b" * 5000 + '.csv"'),
            ("a Latin-1 letter", "LATIN"),
        ]
    )
    text = tomli_w.dumps({k: v for k, v in content.items() if k != key})
    line = f"{key} = {value}\n"
    data = (line + text).encode().replace(b"LATIN", b'"\xe9.dss"')
    if rng.random() < 0.15:
        dots = ".".join("a" * n)
        words, data = f"{n} dotted keys", f"{dots} = 1\n".encode() + data
    elif rng.random() < 0.15:
        words, data = f"{n} dots in a header", data + f"\n[{'.'.join('a' * n)}]\nx = 1\n".encode()
    elif rng.random() < 0.1:
        words, data = f"{key} twice", line.encode() + data
    path.write_bytes(data)
    return f"{key} = {words}", ()


def _place(rng: random.Random, content: dict[str, Any], path: Path) -> tuple[str, tuple[str, ...]]:
    return f"the file is {spoil_place(rng, path)}", ()


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(_without_none(content)), encoding="utf-8")


def _without_none(value: Any) -> Any:
    # TOML has no word for it.
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


def _or_whole(place: tuple[str | int, ...]) -> tuple[str, ...]:
    return patterns_of(place)


def _short(value: object) -> str:
    text = repr(value) if not (isinstance(value, int) and abs(value) > 10**50) else "10**400 or its negative"
    return text if len(text) < 60 else f"{text[:50]}... ({len(text)} letters)"
