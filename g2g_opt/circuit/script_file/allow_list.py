"""What a circuit file may say: the commands, options and properties that describe and solve a network.

Everything else is refused: nothing here starts a program, loads a library, opens a connection or writes a file. The
names, in OpenDSS's own order, lie in `data/opendss/words.json`; a test holds them against the engine, so that a new
engine's words are looked at before they are let through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from g2g_opt.data_files import data_path

# Commands that the reader of the file carries out itself.
INCLUDES = frozenset({"redirect", "compile"})
FOLDERS = frozenset({"cd"})
COORDINATES = frozenset({"buscoords", "latlongcoords"})
# Commands followed by a class and name, then by properties.
DESCRIBES = frozenset({"new", "edit", "batchedit"})
MORE = frozenset({"more", "m", "~"})
# Passed on with their plain values; `MORE` then goes on with the object that they name.
CHOOSES = frozenset({"select", "open", "close", "enable", "disable"})
OPTIONS = frozenset({"set", "solve"})
# Passed on with their plain values.
PLAIN = frozenset(
    {
        "allocateloads", "buildy", "calcvoltagebases", "clear", "clearall", "init", "interpolate", "makebuslist",
        "reprocessbuses", "reset", "setbusxy", "setkvbase", "setloadandgenkv", "updatestorage", "var",
    }
)  # fmt: skip
# Allocates loads to meters as `AllocateLoads` does, and writes a report, which is left out.
ESTIMATES = frozenset({"estimate"})
# Answer a question, fill meters (`Sample` may end OpenDSS's process where nothing was solved), or number and draw what
# is there: left out, since no solution changes with them.
LEFT_OUT = frozenset(
    {
        "?", "about", "addbusmarker", "allpceatbus", "allpdeatbus", "capacity", "cktlosses", "classes",
        "clearbusmarkers", "currents", "get", "help", "losses", "next", "nodediff", "nodelist", "phaselosses", "powers",
        "puvoltages", "relcalc", "sample", "seqcurrents", "seqpowers", "seqvoltages", "summary", "totalpowers",
        "totals", "userclasses", "uuids", "varnames", "varvalues", "vdiff", "voltages", "ysc", "zsc", "zsc012", "zsc10",
    }
)  # fmt: skip

# Write, show or draw what was solved, or open what was written in an editor: left out too, never told to OpenDSS.
# Published circuits end with them.
REPORTS = frozenset(
    {
        "_showcontrolqueue", "closedi", "comparecases", "di_plot", "dump", "export", "exportoverloads",
        "exportvviolations", "fileedit", "plot", "save", "show", "visualize", "yearlycurves",
    }
)  # fmt: skip
# Left out with words of their own.
WORDS_OF_WHOLE = {
    "reduce": "the circuit is studied whole, since lines that OpenDSS joins have the rating of one of them",
    "makeposseq": "the circuit is studied with its three phases, which a site has, and not in its positive sequence",
}
STUDIED_WHOLE = frozenset(WORDS_OF_WHOLE)
# Of these, what leaves one phase in the place of three.
ONE_PHASE = frozenset({"makeposseq"})
# Of those left out, the ones that make what they ask about the object that `MORE` goes on with.
ASKS = frozenset({"?"})

OPTIONS_OF_CLASSES = frozenset({"class", "type"})
OPTIONS_OF_OBJECTS = frozenset({"element", "object"})
OPTIONS_PASSED = frozenset(
    {
        "%growth", "%mean", "%stddev", "algorithm", "allocationfactors", "allowduplicates", "autobuslist",
        "basefrequency", "bus", "cfactors", "circuit", "cktmodel", "class", "controlmode", "defaultbasefrequency",
        "defaultdaily", "defaultyearly", "earthmodel", "element", "emergvmaxpu", "emergvminpu", "eventlogdefault",
        "frequency", "genmult", "h", "harmonics", "hour", "keeplist", "keepload", "ldcurve", "linetypes", "loadmodel",
        "loadmult", "loadshapeclass", "longlinecorrection", "lossregs", "lossweight", "maxcontroliter", "maxiterations",
        "miniterations", "mode", "neglectloady", "normvmaxpu", "normvminpu", "number", "numallociterations", "object",
        "pricecurve", "pricesignal", "random", "reduceoption", "sampleenergymeters", "seasonrating", "seasonsignal",
        "sec", "stepsize", "terminal", "time", "tolerance", "trapezoidal", "type", "ueregs", "ueweight", "voltagebases",
        "year", "zmag", "zonelock", "addtype", "capkvar", "genkw", "genpf",
    }
)  # fmt: skip
# Markers of drawings, and names and traces of files that are never written here.
OPTIONS_LEFT_OUT = frozenset(
    {
        "actorprogress", "capmarkercode", "capmarkersize", "casename", "concatenatereports", "daisysize",
        "dssvisualizationtool", "fusemarkercode", "fusemarkersize", "markcapacitors", "markercode", "markfuses",
        "markpvsystems", "markreclosers", "markregulators", "markrelays", "markstorage", "markswitches",
        "marktransformers", "nodewidth", "parallel", "pvmarkercode", "pvmarkersize", "reclosermarkercode",
        "reclosermarkersize", "regmarkercode", "regmarkersize", "relaymarkercode", "relaymarkersize", "showexport",
        "showreports", "storemarkercode", "storemarkersize", "switchmarkercode", "tracecontrol", "transmarkercode",
        "transmarkersize", "processtime", "steptime", "totaltime",
    }
)  # fmt: skip
# Puts the share of its emergency rating, be it OpenDSS's 600 A, in the place of every line's stated rating.
OPTIONS_OF_RATINGS = frozenset({"%normal"})
# Where what a file names by a path of its own lies from now on, as behind `cd`.
OPTIONS_OF_FOLDERS = frozenset({"datapath"})
# Would write reports while it solves.
OPTIONS_OF_REPORTS = frozenset(
    {"demandinterval", "diverbose", "log", "overloadreport", "querylog", "recorder", "voltexceptionreport"}
)

# Properties that name a library, its data or a model of one's own, whatever the class.
PROPERTIES_REFUSED = frozenset(
    {"usermodel", "userdata", "shaftmodel", "shaftdata", "dynadll", "dynadata", "dynamiceq", "dynout"}
)
# Traces, and how a file is held in memory: nothing that a solution depends on.
PROPERTIES_LEFT_OUT = frozenset({"debugtrace", "memorymapping"})
PROPERTIES_OF_FILES = frozenset({"csvfile", "sngfile", "dblfile", "pqcsvfile"})
# `action` saves to files, but for shapes, where "normalize" computes.
_SHAPES = frozenset({"loadshape", "tshape", "priceshape"})
_METERS = frozenset({"monitor", "energymeter"})
CLASSES_REFUSED = frozenset({"dynamicexp", "vccs"})  # formulas and models of one's own

# Commands of an edit file besides the properties of an element, and classes whose objects elements have taken over.
OPENS = frozenset({"open", "close"})
SERVES = frozenset({"enable", "disable"})
EDITS = OPENS | SERVES | {"edit"}
CODES = frozenset(
    {"circuit", "linecode", "linegeometry", "linespacing", "wiredata", "cndata", "tsdata", "xfmrcode"}
)  # fmt: skip

# Modes that OpenDSS begins from a solution, which is left out here: it ends its process where there is none.
MODES_OF_A_SOLUTION = ("dynamics", "faultstudy", "harmonics", "harmonict")

OFF = frozenset({"no", "n", "false", "f", "off"})


@dataclass(frozen=True)
class Words:
    """OpenDSS's commands and options, and properties by class, all in lower case and in OpenDSS's order."""

    commands: tuple[str, ...]
    options: tuple[str, ...]
    properties: dict[str, tuple[str, ...]]


@lru_cache
def words() -> Words:
    """The words of the engine that this package was made for."""
    stored = json.loads(data_path("opendss", "words.json").read_text(encoding="utf-8"))
    properties = {name.lower(): _lower(names) for name, names in stored["classes"].items()}
    # A circuit is described by its source.
    properties["circuit"] = properties["vsource"]
    return Words(
        _lower(stored["commands"]),
        _lower(stored["options"]),
        {name: names for name, names in properties.items() if name not in CLASSES_REFUSED},
    )


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def find_word(text: str, known: tuple[str, ...]) -> str | None:
    """The word that OpenDSS takes `text` for: itself, else the first one that begins with it; None if there is none."""
    wanted = text.lower()
    if wanted in known:
        return wanted
    return next((name for name in known if wanted and name.startswith(wanted)), None)


def begins_from_a_solution(mode: str) -> bool:
    """Whether a mode's name, cut short or not, is one of `MODES_OF_A_SOLUTION` ("d" is "daily")."""
    wanted = mode.strip().lower()
    return wanted not in ("", "d") and any(name.startswith(wanted) for name in MODES_OF_A_SOLUTION)


def what_of_property(kind: str, name: str, value: str) -> str:
    """What becomes of a property of a class: "passed", "left out", "file" (its value names one) or "refused"."""
    if name in PROPERTIES_OF_FILES:
        return "file"
    if name in PROPERTIES_LEFT_OUT or (name == "action" and kind in _METERS):
        return "left out"
    if name in PROPERTIES_REFUSED:
        return "refused"
    if name == "action" and kind in _SHAPES:
        return "passed" if value.strip().lower().startswith("n") else "refused"
    return "passed"


def array_file_word(name: str) -> str | None:
    """The kind of file that OpenDSS takes the array for: "file" is written out, the others as short as one likes."""
    name = name.lower()
    if name == "file":
        return name
    return next(
        (word for word in ("dblfile", "sngfile") if name and (word.startswith(name) or name.startswith(word))), None
    )
