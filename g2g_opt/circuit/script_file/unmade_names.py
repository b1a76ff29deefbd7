"""Names in a command of a circuit that no command before it has made, with the nearest that one has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2g_opt.circuit.script_file.conductor_data import CONDUCTOR_BY_PROPERTY
from g2g_opt.circuit.script_file.described_elements import described
from g2g_opt.circuit.script_file.tokens import Parameter, ScriptError, parameters
from g2g_opt.errors import did_you_mean, listed

# Properties whose values are names, and the classes that these may be of.
_SHAPES = ("loadshape",)
_CLASSES_BY_PROPERTY: dict[str, tuple[str, ...]] = {
    "linecode": ("linecode",),
    "geometry": ("linegeometry",),
    "spacing": ("linespacing",),
    **{prop: (kind,) for prop, kind in CONDUCTOR_BY_PROPERTY.items()},
    "wires": ("wiredata", "cndata", "tsdata"),
    "xfmrcode": ("xfmrcode",),
    "transformer": ("transformer", "autotrans"),
    "capacitor": ("capacitor",),
    "yearly": _SHAPES,
    "daily": _SHAPES,
    "duty": _SHAPES,
    "controlsignal": _SHAPES,
    "tyearly": ("tshape",),
    "tdaily": ("tshape",),
    "tduty": ("tshape",),
    "growth": ("growthshape",),
    "effcurve": ("xycurve",),
    "p-tcurve": ("xycurve",),
    "vvc_curve1": ("xycurve",),
    "voltwatt_curve": ("xycurve",),
    "voltwattch_curve": ("xycurve",),
    "wattpf_curve": ("xycurve",),
    "wattvar_curve": ("xycurve",),
    "fusecurve": ("tcc_curve",),
    "phasecurve": ("tcc_curve",),
    "groundcurve": ("tcc_curve",),
    "phasefast": ("tcc_curve",),
    "phasedelayed": ("tcc_curve",),
    "groundfast": ("tcc_curve",),
    "grounddelayed": ("tcc_curve",),
    "spectrum": ("spectrum",),
    # Elements, by class and name.
    "element": (),
    "monitoredobj": (),
    "switchedobj": (),
    # Lists of elements, with a class or of the one that the property is for.
    "derlist": ("pvsystem", "storage"),
    "pvsystemlist": ("pvsystem",),
    "elementlist": ("storage",),
    "genlist": ("generator",),
}
# What OpenDSS has without being told, and words for none.
_OWN = frozenset(
    {"linecode.default", "loadshape.default", "growthshape.default", "vsource.source", "spectrum.default"}
    | {f"spectrum.default{kind}" for kind in ("gen", "load", "vsource", "isource", "vccs", "storage", "pv")}
    | {f"tcc_curve.{name}" for name in ("none", "linear", "a", "d", "tlink", "klink", "mod_inv", "very_inv", "ext_inv")}
)
_NONE = frozenset({"", "none"})
_SHOWN = 3


def unmade_names(commands: Sequence[str], at: int) -> str:
    """What the command at place `at` names and none before it has made, in words; empty where there is nothing."""
    made = set(_OWN)
    made.update(name for name, _ in described(commands[:at]))
    missing = [told for told in _named(commands, at) if not any(one in made for one in told)]
    words = []
    for options in missing:
        kinds = [one.partition(".")[0] for one in options]
        name = options[0].partition(".")[2]
        known = [one.partition(".")[2] for one in made if one.partition(".")[0] in kinds]
        words.append(f"the file has made no {' or '.join(dict.fromkeys(kinds))} {name!r}{did_you_mean(name, known)}")
    return listed(words, _SHOWN)


def _named(commands: Sequence[str], at: int) -> Iterator[list[str]]:
    """What a command names, each as the elements (kind.name) of which one would do."""
    try:
        verb, *given = parameters(commands[at])
    except (ScriptError, ValueError):
        return
    word = verb.value.lower() if verb.name is None else ""
    kind = ""
    if verb.name is not None:
        # "Line.a.length=3"
        element, _, prop = verb.name.lower().rpartition(".")
        yield [element]
        kind, given = element.partition(".")[0], [Parameter(prop, verb.value), *given]
    elif word in ("open", "close", "select") and given and "." in given[0].value:
        yield [given[0].value.lower()]
        return
    elif word in ("new", "edit") and given:
        kind, given = given[0].value.lower().partition(".")[0], given[1:]
    elif word == "~":
        for name, _ in described(commands[:at]):
            kind = name.partition(".")[0]
    for parameter in given:
        yield from _references(kind, parameter)


def _references(kind: str, parameter: Parameter) -> Iterator[list[str]]:
    prop, value = parameter.word, parameter.value.lower()
    if prop == "like":
        yield [f"{kind}.{value}"]
        return
    if prop not in _CLASSES_BY_PROPERTY or kind in ("xfmrcode", "linecode"):
        return
    classes = _CLASSES_BY_PROPERTY[prop]
    many = prop.endswith(("list", "wires", "cables"))
    for name in value.replace(",", " ").split() if many else [value.strip()]:
        if name in _NONE:
            continue
        if not classes or ("." in name and many):
            if "." in name:
                yield [name]
        else:
            yield [f"{one}.{name}" for one in classes]
