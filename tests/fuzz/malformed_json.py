"""Malformed JSON: policies of a network and of a feeder, and stored questions."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from malformed_case import Case
from spoiling import ABSURD_VALUES, LONG, patterns_of, places_in, replaced, spoil_place, spoil_text, without

from g2g_opt.feeder_policy import FeederPolicy, PolicyOutput
from g2g_opt.feeder_policy import PolicyFeature as FeederFeature
from g2g_opt.transmission.policy import ContextualPolicy, CoordinationFeature, Published
from studies.catalogue import STUDIES, parse_question, question_json, question_type

AREA = "json"


def contextual_policy() -> ContextualPolicy:
    """A policy of two datacenters that reads three figures and bends once."""
    features = (
        CoordinationFeature.of("load.N.Y.C.", "MW", 1),
        CoordinationFeature("sum", "MW", ((Published("load.West", 1), 1.0), (Published("wind", 2), -1.0)), above=100.0),
    )
    matrix = np.array([[0.0, 0.1, 0.2], [0.0, -0.1, -0.2]])
    return ContextualPolicy(("West", "N.Y.C."), features, matrix, {"records": 3})


def feeder_policy() -> FeederPolicy:
    """A policy of one model at one site that reads two figures."""
    features = (FeederFeature("pv_kw", "kW", scale=100.0), FeederFeature("site_power_kw", "kW", site="campus"))
    outputs = (PolicyOutput("campus", "llama", (8, 16, 128), (0.0, 0.4, 1.0)),)
    return FeederPolicy(features, outputs, (0.5,), ((0.1, -0.2),), about="made")


# What a policy is asked for once it is read: of these figures, by key.
_FIGURES = {"load.N.Y.C.@1h": 6800.0, "load.West@1h": 1700.0, "wind@2h": 30.0}


def _load_contextual(path: Path) -> object:
    return ContextualPolicy.load(path)


def _parse_contextual(path: Path) -> object:
    policy = ContextualPolicy.from_json(_text_of(path))
    return policy.shift_mw(dict.fromkeys((figure.key for figure in policy.figures), 1.0) | _FIGURES)


def _parse_feeder(path: Path) -> object:
    return FeederPolicy.from_json(_text_of(path))


def _parse_question(path: Path) -> object:
    question = parse_question(_text_of(path))
    question.check()
    return question.tasks(question.stages[0], [])


def _text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


def make(rng: random.Random, folder: Path) -> Case:
    """A JSON text that should be refused by the one that reads it."""
    path = folder / "policy.json"
    kind = rng.choice(["contextual", "contextual file", "feeder", "question"])
    act: dict[str, Callable[[Path], object]] = {
        "contextual": _parse_contextual,
        "contextual file": _load_contextual,
        "feeder": _parse_feeder,
        "question": _parse_question,
    }
    if kind == "question":
        text = question_json(question_type(rng.choice(sorted(STUDIES)))())
    else:
        text = feeder_policy().to_json() if kind == "feeder" else contextual_policy().to_json()
    words, data, places = _spoilt(rng, json.loads(text))
    path.write_bytes(data)
    if kind == "contextual file" and rng.random() < 0.15:
        words, places = f"the file is {spoil_place(rng, path)}", ()
    names = (path.name,) if kind == "contextual file" else ()
    return Case(AREA, f"{kind}: {words}", lambda: act[kind](path), names, places)


def _spoilt(rng: random.Random, tree: dict[str, Any]) -> tuple[str, bytes, tuple[str, ...]]:
    way = rng.choices(["value", "two values", "without", "with", "text", "writing"], weights=[40, 8, 10, 6, 20, 16])[0]
    place = rng.choice(list(places_in(tree)))
    shown = ".".join(map(str, place))
    if way == "text":
        words, data = spoil_text(rng, json.dumps(tree, indent=1))
        return words, data, ()
    if way == "writing":
        written, words = rng.choice(_WRITINGS)
        mark = "a place to be written over"
        text = json.dumps(replaced(tree, place, mark)).replace(json.dumps(mark), written)
        return f"{shown} = {words}", text.encode("utf-8", errors="surrogatepass"), ()
    if way == "without":
        return f"without {shown}", _bytes(without(tree, place)), ()
    if way == "with":
        tables = [p for p in ((), *places_in(tree)) if isinstance(_at(tree, p), dict)]
        place = rng.choice(tables)
        key = rng.choice(["", "x", "__class__", "self", "format", "study", "a" * 5000, "\ud800", "above", "about"])
        return f"{place} with the key {key[:20]!r}", _bytes(replaced(tree, place, {**_at(tree, place), key: 1})), ()
    value = rng.choice((*ABSURD_VALUES, None, "\ud800", -1.0, 1e17, [[1e308, 1e308]], [1e308, -1e308]))
    spoilt, places = replaced(tree, place, value), patterns_of(place)
    if way == "two values":
        other = rng.choice(list(places_in(spoilt)))
        spoilt, places = replaced(spoilt, other, rng.choice(ABSURD_VALUES)), (*places, *patterns_of(other))
        shown += f" and {'.'.join(map(str, other))}"
    return (
        f"{shown} = {repr(value)[:40] if not isinstance(value, int) or abs(value) < 10**50 else 'huge'}",
        _bytes(spoilt),
        places,
    )


def _at(tree: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _bytes(tree: Any) -> bytes:
    import sys

    # Python writes no such number, though it reads one of 4,300 digits.
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(tree).encode("utf-8", errors="surrogatepass")
    finally:
        sys.set_int_max_str_digits(4300)


_WRITINGS = (
    ("[" * 100_000, "100,000 brackets"),
    ("[" * 100_000 + "]" * 100_000, "100,000 brackets, closed"),
    ('{"a":' * 100_000, "100,000 braces"),
    ("[" * 900 + "]" * 900, "900 brackets, closed"),
    ("9" * 5000, "5,000 digits"),
    ("9" * LONG, "200,000 digits"),
    ("-" + "9" * 400, "400 digits"),
    ("1e400", "1e400"),
    ("-1e400", "-1e400"),
    ("NaN", "NaN"),
    ("Infinity", "Infinity"),
    ("-Infinity", "-Infinity"),
    ("0." + "1" * LONG, "200,000 digits after the point"),
    ("1e" + "9" * 5000, "an exponent of 5,000 digits"),
    ("nan", "a bare nan"),
    ("", "nothing"),
    ("undefined", "a bare word"),
    ("'x'", "single quotes"),
    ("[1,]", "a comma too many"),
    ("{}{}", "two values"),
    ('"\\ud800"', "half a surrogate as escape"),
    ('"\\u0000"', "NUL as escape"),
    ('"\\x"', "an unknown escape"),
    ('"a\x01b"', "a control character"),
    ('"' + "a" * LONG + '"', "200,000 letters"),
    ('{"a":1,"a":2}', "a key twice"),
    ("true", "true"),
    ("null", "null"),
    ("0x10", "hexadecimal"),
    ("/* x */ 1", "a comment"),
)
