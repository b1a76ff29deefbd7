"""Malformed OpenDSS circuits: texts that can do no harm, each compiled by `g2g feeder` in a process of its own.

What starts programs, loads libraries or writes files is nowhere in here: such commands are tested at the guard alone
and never given to the engine. A text that could be read as one of them, in any of the abbreviations that OpenDSS
allows, is not handed out (`is_harmless`).
"""

from __future__ import annotations

import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from endings import HANG_S, WAIT_S, HangError
from malformed_case import Case
from spoiling import LONG, spoil_place, spoil_text

AREA = "circuits"

_MASTER = """Clear
New Circuit.small bus1=nsrc basekv=12.47 pu=1.02 phases=3 mvasc3=2000 mvasc1=1800
New LineCode.lc nphases=3 r1=0.2 x1=0.4 r0=0.5 x0=1.1 units=km normamps=400
New Line.l1 bus1=nsrc bus2=na length=1 units=km linecode=lc
New Transformer.t1 phases=3 windings=2 buses=(na nb) conns=(wye wye) kvs=(12.47 4.16) kvas=(5000 5000) xhl=5
New RegControl.r1 transformer=t1 winding=2 vreg=120 band=2 ptratio=20
New Line.l2 bus1=nb bus2=nc length=0.5 units=km linecode=lc
New LoadShape.day npts=4 interval=1 mult=(0.5 0.8 1.0 0.7)
New Load.d1 bus1=nc phases=3 kv=4.16 kw=500 kvar=100 daily=day
New Capacitor.c1 bus1=nc phases=3 kv=4.16 kvar=100
Redirect parts.dss
Set VoltageBases=[12.47 4.16]
CalcVoltageBases
BusCoords coords.csv
Solve
"""
_PARTS = """! more of it
New Line.l3 bus1=nc bus2=nd length=0.3 units=km linecode=lc
New Load.d2 bus1=nd.1 phases=1 kv=2.4 kw=50 pf=0.95
New Generator.g1 bus1=nd phases=3 kv=4.16 kw=100 pf=1
"""
_COORDS = "nsrc,0,0\nna,1,0\nnb,2,0\nnc,3,0\nnd,4,1\n"

# Commands a text of ours may hold in full. All others, and whatever abbreviates or lengthens one, are kept out.
_ALLOWED = frozenset(
    [
        "clear",
        "new",
        "edit",
        "batchedit",
        "more",
        "m",
        "~",
        "redirect",
        "compile",
        "set",
        "calcvoltagebases",
        "calcv",
        "buscoords",
        "solve",
        "open",
        "close",
        "disable",
        "enable",
        "select",
        "makebuslist",
        "setkvbase",
        "setbusxy",
        "reset",
        "get",
        "?",
        "//",
    ]
)
_KEPT_OUT = (
    "save", "show", "plot", "fileedit", "export", "dump", "cd", "visualize", "classes", "userclasses", "var", "puttext",
    "doscmd", "cktlosses",
    "di_plot", "comparecases", "yearlycurves", "clearall", "pstcalc", "connect", "disconnect", "cleanup", "remove",
    "rephase", "reduce", "interpolate",
    "aggregateprofiles", "allpceatbus", "summary", "help", "about", "capacity", "quit", "panel", "wait", "solveall",
    "uuids", "sample", "log", "update", "distribute", "estimate", "reconductor", "voltages", "currents", "powers",
    "losses", "formedit",
)  # fmt: skip
_KEPT_OUT_ANYWHERE = (
    "user", "dyn", "dll", "shaft", "library", "editor", "plot", "show", "export", "save", "dump", "fileedit", "doscmd",
    "trace", "datapath", "shell",
    "autoadd", "report", "recorder", "closedi", "demand", "eventlog", ".exe",
)  # fmt: skip


def is_harmless(data: bytes) -> bool:
    """True if nothing in a text can be read as a command that writes, starts or loads something."""
    text = data.decode("latin-1").lower()
    wide = data.replace(b"\0", b"").decode("latin-1").lower()
    return all(_is_harmless(one) for one in (text, wide))


def _is_harmless(text: str) -> bool:
    if any(word in text for word in _KEPT_OUT_ANYWHERE):
        return False
    for line in re.split(r"[\r\n\0\x0b\x0c\x1a\x1c-\x1e\x85;]+", text):
        word = re.split(r"[\s=,.|]+", line.strip(" \t\"'([{\xef\xbb\xbf\xff\xfe"), maxsplit=1)[0]
        if not word or word in _ALLOWED or word[0] in "!/":
            continue
        if any(other.startswith(word) or word.startswith(other) for other in _KEPT_OUT):
            return False
    return True


def make(rng: random.Random, folder: Path) -> Case:
    """A circuit that should be refused, or read as it is, in the end within seconds."""
    for _ in range(50):
        texts = {"master.dss": _MASTER.encode(), "parts.dss": _PARTS.encode(), "coords.csv": _COORDS.encode()}
        way = rng.choices([_figure, _property, _statement, _text, _include, _order], weights=[26, 14, 26, 14, 14, 6])[0]
        words = way(rng, texts)
        if all(is_harmless(data) for data in texts.values()):
            break
    else:
        raise ValueError("no harmless text was drawn in 50 tries")
    for name, data in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    path = folder / "master.dss"
    if rng.random() < 0.08:
        name = rng.choice(list(texts))
        words = f"{name} is {spoil_place(rng, folder / name)}"
        if name == "master.dss" and rng.random() < 0.5:
            path = folder / rng.choice(
                ["nowhere.dss", "ä.dss", 'a"b.dss', "a b.dss", "x" * 300 + ".dss", ".dss", "a%sb.dss", "a[b].dss"]
            )
            words = f"the master is {path.name[:20]}"
    # Of a link the file may be named that it leads to.
    names = () if " is a link" in words else (path.name[:60],)
    return Case(AREA, words, lambda: describe(path), names)


def describe(path: Path) -> int:
    """`g2g feeder` on a circuit, as a user runs it; what it says is printed. Raises `HangError`, as if it were here."""
    before_s = _children_s()
    command = [sys.executable, "-m", "studies.cli", "feeder", str(path)]
    try:
        run = subprocess.run(
            command, capture_output=True, timeout=WAIT_S - 2.0, check=False, cwd=path.parent, stdin=subprocess.DEVNULL,
            preexec_fn=_bound, env=_environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise HangError from error
    if _children_s() - before_s > HANG_S:
        raise HangError
    sys.stderr.write((run.stdout + run.stderr).decode(errors="replace"))
    if run.returncode < 0:
        raise ChildProcessError(f"the process died of signal {-run.returncode}")
    if run.returncode not in (0, 2):
        raise ChildProcessError(f"exit status {run.returncode}: {run.stderr.decode(errors='replace')[-1500:]}")
    return run.returncode


def _children_s() -> float:
    """Seconds that processes begun here have computed, as far as they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[2])
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def _bound() -> None:
    # Nothing here needs to write a file, or more memory than a desk has. The child of the product sets its own limit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_Texts = dict[str, bytes]
_FIGURES = (
    "0", "-1", "nan", "inf", "-inf", "NaN", "1e308", "1e-308", "1e400", "-1e300", "1e18", "99999999999", "9" * 400, "x",
    "", "1/0", "(1 0 /)", "(1", "1)", "[1 2", "'1",
    '"1', "{1 2 3}", "1,2", "1|2", "@x", "@", "%", "#", "true", "-0", "0.5.5", "1e", "0x10", "2147483648",
    "-2147483649", "(0 sqrt)", "(-1 sqrt)", "(0 log10)",
    "(0 inv)", "1e5", "1000000", "(1 2 +", "(+)", "ä",
)  # fmt: skip


def _figure(rng: random.Random, texts: _Texts) -> str:
    name = rng.choice(["master.dss"] * 4 + ["parts.dss", "coords.csv"])
    text = texts[name].decode()
    found = rng.choice(list(re.finditer(r"(?<=[=( ,])\d[\d.]*(?![\w.])", text)))
    figure = rng.choice(_FIGURES)
    texts[name] = (text[: found.start()] + figure + text[found.end() :]).encode()
    line = text.count("\n", 0, found.start()) + 1
    return f"{name}, line {line}: {figure[:20]!r} instead of {found[0]!r}"


def _property(rng: random.Random, texts: _Texts) -> str:
    name = rng.choice(["master.dss", "master.dss", "parts.dss"])
    lines = texts[name].decode().splitlines()
    row = rng.choice([k for k, line in enumerate(lines) if line.startswith("New")])
    added = rng.choice(
        [
            "nothing=1", "=1", "bus1=", "bus1=nowhere.9.9.9", "bus1=na.0", "bus1=na.1.1.1", "bus1=na.-1", "phases=0",
            "phases=-3", "phases=100000", "phases=2.5",
            "like=nothing", "like=l1", "enabled=maybe", "kv=0", "kv=-4", "linecode=nothing", "length=0", "length=-1",
            "units=parsec", "rmatrix=(1|2 3)",
            "rmatrix=(0|0 0|0 0 0) xmatrix=(0|0 0|0 0 0)", "r1=0 x1=0 c1=0", "windings=0", "windings=1000",
            "windings=-1", "wdg=9", "tap=0", "tap=nan", "xhl=0", "%loadloss=-5",
            "numtaps=0", "mintap=2 maxtap=1", "transformer=nothing", "winding=7", "ptratio=0", "band=-2",
            "daily=nothing", "yearly=nothing", "spectrum=nothing", "model=99",
            "conn=triangle", "npts=1000000000", "npts=-1", "interval=0", "mult=()", "mult=(x)",
            "mult=(file=nowhere.csv)", "csvfile=nowhere.csv", "file=nowhere",
            "sngfile=nowhere", "mult=(file=coords.csv)", "switch=maybe", "basefreq=0", "basefreq=-60",
            "vminpu=2 vmaxpu=0.1", "kw=1e12", "pf=0", "pf=-3", "xfkva=0", "basekv=0",
            "mvasc3=0", "isc3=0", "angle=nan", "pu=0", "pu=50", "pu=nan", "bus2=nsrc", "bus1=nb bus2=nb",
            "geometry=nothing", "spacing=nothing", "emergamps=-1", "seasons=-1 ratings=[1 2]",
            "mult=(" + "1 " * 20_000 + ")", "bus1=" + "b" * 20_000, "basekv=1e-30",
        ]
    )  # fmt: skip
    lines[row] = f"{lines[row]} {added}"
    texts[name] = "\n".join([*lines, ""]).encode()
    return f"{name}, line {row + 1}: {added[:60]}"


def _statement(rng: random.Random, texts: _Texts) -> str:
    name = rng.choice(["master.dss", "master.dss", "parts.dss"])
    lines = texts[name].decode().splitlines()
    row = rng.randrange(len(lines) + 1)
    added = rng.choice(
        [
            "New", "New x", "New Nothing.x", "New Line", "New Line.", "New .l9", "New Line.l1 bus1=na bus2=nb",
            "New Circuit.other", "New Circuit.small", "New Load.", "New Load.d1",
            "New Load.ä bus1=nc kw=1", 'New Load."a b" bus1=nc phases=3 kv=4.16 kw=1', "New Load.a.b bus1=nc", "Edit",
            "Edit Line.nothing length=1", "Edit Nothing.x y=1", "Edit Circuit.x",
            "BatchEdit Load..* kw=nan", "BatchEdit Load.( kw=1", "BatchEdit Nothing..* x=1", "BatchEdit Load.[ kw=1",
            "More kw=1", "~ kw=1", "~", "M", "Redirect", "Redirect nowhere.dss",
            "Redirect .", "Redirect ..", "Redirect /", "Redirect master.dss", "Compile master.dss",
            "Redirect parts.dss", "Redirect coords.csv", "Redirect /dev/null", 'Redirect ""',
            'Redirect "parts.dss', "Redirect (parts.dss", "Redirect " + "x" * 5000, "Compile", "Compile nowhere.dss",
            "Clear", "Solve", "Solve mode=nothing",
            "Solve mode=daily number=0", "Solve mode=snap maxiterations=0", "Solve mode=snap maxiterations=-1",
            "Solve number=-1", "Solve mode=harmonics", "Solve mode=faultstudy",
            "Set", "Set nothing=1", "Set mode=nothing", "Set VoltageBases=[]", "Set VoltageBases=[0]",
            "Set VoltageBases=[nan]", "Set VoltageBases=x", "Set tolerance=0", "Set maxiterations=0",
            "Set frequency=0", "Set basefrequency=-1", "Set loadmult=nan", "Set loadmult=1e300", "Set loadmodel=x",
            "Set algorithm=Newton", "Set circuit=nothing", "Set class=nothing",
            "Set element=nothing.x", "Set bus=nowhere", "Set normvminpu=2", "Set controlmode=x", "Set maxcontroliter=0",
            "CalcVoltageBases", "BusCoords", "BusCoords nowhere.csv",
            "BusCoords .", "BusCoords parts.dss", "Open", "Open Line.l1", "Open Line.l1 9", "Open Line.nothing 1",
            "Open Transformer.t1 1 5", "Close Line.l1 0", "Disable", "Disable Line.l1",
            "Disable Vsource.source", "Disable Transformer.t1", "Disable Nothing.x", "Enable Load.nothing", "Select",
            "Select Line.nothing", "Select Line.l1 9", "MakeBusList",
            "SetkVBase", "SetkVBase bus=nowhere kvll=1", "SetkVBase bus=na kvll=0", "SetkVBase bus=na kvll=nan",
            "SetBusXY", "SetBusXY bus=nowhere x=1 y=1", "SetBusXY bus=na x=nan y=inf",
            "Reset", "Reset nothing", "? Line.l1.nothing", "?", "? Nothing.x.y", "Line.l1.length=0",
            "Line.nothing.length=1", "Line.l1.nothing=1", "Load.d1=1", ".", "=", "==", "!", "//", "/*", "*/",
            "/* open", "\"", "'", "(", ")", "[", "]", "{", "}", "|", ",", ",,,", "=,=,=", "%", "@", "@x=1", "^", "~~",
            "\\", "zzz", "zzz 1 2 3", "ünknown", "nonsense=1 nonsense=2", "1 2 3",
            "New Vsource.v2 bus1=nd basekv=4.16", "New Vsource.v2 bus1=nd basekv=0 pu=nan",
            "New Line.loop bus1=nc bus2=nc", "New Reactor.r bus1=nc r=0 x=0", "New Fault.f bus1=nc r=0",
            "New Transformer.t9 windings=2 buses=(na na)", "New Transformer.t9 windings=3",
            "New Load.far bus1=island phases=3 kv=4.16 kw=100", "New Line.far bus1=island bus2=island2",
            "New Load.big bus1=nc phases=3 kv=4.16 kw=1e15", "New Capacitor.c9 bus1=nc kvar=1e20 kv=4.16",
            "New LineGeometry.g nconds=0", "New WireData.w rac=0 gmrac=0",
            "New LineGeometry.g nconds=3 nphases=3 cond=1 wire=nothing x=0 h=0", "New Monitor.m element=nothing",
            "New Monitor.m element=Line.l1 terminal=9", "New EnergyMeter.e element=nothing",
            "New EnergyMeter.e element=Line.l1 terminal=1", "New CapControl.cc capacitor=nothing element=Line.l1",
            "New Relay.x monitoredobj=nothing", "New Fuse.x monitoredobj=nothing",
            "New SwtControl.s switchedobj=nothing", "New XfmrCode.x windings=0", "New GrowthShape.g npts=2",
            "New TCC_Curve.t npts=2 c_array=(0 0) t_array=(0 0)", "New Spectrum.s numharm=3",
            "New PVSystem.p bus1=nc kv=4.16 kva=0 pmpp=nan", "New Storage.s bus1=nc kv=4.16 kwrated=0 kwhrated=0",
            "New InvControl.i mode=nothing", "New XYCurve.x npts=2 xarray=(0 0) yarray=(1 1)",
            "a" * LONG, "New Load." + "a" * LONG, "New Load.z kw=" + "9" * LONG, "(" * 5000, "[" * 5000 + "]" * 5000,
            "! " + "a" * LONG, "New Load.q bus1=nc " + "kw=1 " * 20_000,
            "Set VoltageBases=[" + "1 " * 20_000 + "]",
        ]
    )  # fmt: skip
    n = rng.choice((1, 1, 1, 1, 1, 1, 200))
    texts[name] = "\n".join([*lines[:row], *([added] * n), *lines[row:], ""]).encode()
    return f"{name}, line {row + 1}: {added[:60]}{f' ({n} times)' if n > 1 else ''}"


def _text(rng: random.Random, texts: _Texts) -> str:
    name = rng.choice(["master.dss", "master.dss", "parts.dss", "coords.csv"])
    if rng.random() < 0.04:
        texts[name] += b"! " + b"a" * 50_000_000 + b"\n"
        return f"{name}: a line of 50 MB"
    words, data = spoil_text(rng, texts[name].decode())
    texts[name] = data
    return f"{name}: {words}"


def _include(rng: random.Random, texts: _Texts) -> str:
    """Cycles, depths, and names of files that are read."""
    n = rng.choice([3, 30, 300])
    words, added = rng.choice(
        [
            ("an include of itself", {"parts.dss": b"Redirect parts.dss\n"}),
            ("an include of its includer", {"parts.dss": b"Redirect master.dss\n"}),
            ("a compile of its includer", {"parts.dss": b"Compile master.dss\n"}),
            ("a circle of three", {"parts.dss": b"Redirect x.dss\n", "x.dss": b"Redirect y.dss\n",
            "y.dss": b"Redirect parts.dss\n"}),
            (f"a chain of {n}",
            {f"c{k}.dss": f"Redirect c{k + 1}.dss\n".encode() for k in range(n)} | {"parts.dss": b"Redirect c0.dss\n",
            f"c{n}.dss": b""}),
            ("a circle in two folders", {"parts.dss": b"Redirect sub/a.dss\n",
            "sub/a.dss": b"Redirect ../parts.dss\n"}),
            ("a folder", {"parts.dss": b"Redirect sub\n", "sub/a.dss": b""}),
            ("a name with a blank, bare", {"parts.dss": b"Redirect a b.dss\n", "a b.dss": b""}),
            ("a name with a blank, quoted", {"parts.dss": b'Redirect "a b.dss"\n', "a b.dss": b"zzz\n"}),
            ("backslashes", {"parts.dss": b"Redirect sub\\a.dss\n", "sub/a.dss": b"zzz\n"}),
            ("another case", {"parts.dss": b"Redirect SUB/A.DSS\n", "sub/a.dss": b"zzz\n"}),
            ("a name that is no text", {"parts.dss": b"Redirect \xe9.dss\n"}),
            ("a NUL in a name", {"parts.dss": b"Redirect a\0b.dss\n"}),
            ("a device without end", {"parts.dss": b"Redirect /dev/zero\n"}),
            ("a device of noise as coordinates", {"parts.dss": b"BusCoords /dev/zero\n"}),
            ("figures from a device", {"parts.dss": b"New LoadShape.z npts=3 mult=(file=/dev/zero)\n"}),
            ("figures from a folder", {"parts.dss": b"New LoadShape.z npts=3 mult=(file=sub)\n", "sub/a": b""}),
            ("figures from nonsense", {"parts.dss": b"New LoadShape.z npts=3 mult=(file=z.csv)\n",
            "z.csv": bytes(range(256))}),
            ("a table from nonsense", {"parts.dss": b"New LoadShape.z npts=3 csvfile=z.csv\n", "z.csv": b"\0" * 5000}),
            ("a binary table cut", {"parts.dss": b"New LoadShape.z npts=1000 dblfile=z.dbl\n", "z.dbl": b"\0" * 9}),
            ("no include, an empty master", {"master.dss": b""}),
            ("only comments", {"master.dss": b"! nothing\n// nothing\n"}),
            ("no source", {"master.dss": b"Clear\nNew Line.l1 bus1=na bus2=nb\nSolve\n"}),
            ("only a circuit", {"master.dss": b"Clear\nNew Circuit.x\n"}),
            ("only a circuit, solved", {"master.dss": b"Clear\nNew Circuit.x\nSolve\n"}),
            ("two circuits", {"master.dss": b"Clear\nNew Circuit.x\nNew Circuit.y\nSolve\n"}),
            ("a circuit, then cleared", {"master.dss": b"Clear\nNew Circuit.x\nSolve\nClear\n"}),
            ("no name", {"master.dss": b"Clear\nNew Circuit. basekv=4\nSolve\n"}),
            ("5,000 buses in a row without load",
            {"parts.dss": "".join(f"New Line.k{k} bus1=k{k} bus2=k{k + 1}\n" for k in range(5000)).encode()}),
        ]
    )  # fmt: skip
    texts.update(added)
    return f"includes: {words}"


def _order(rng: random.Random, texts: _Texts) -> str:
    lines = texts["master.dss"].decode().splitlines()
    ways: list[tuple[str, Callable[[], list[str]]]] = [
        ("in reverse", lambda: lines[::-1]),
        ("mixed", lambda: rng.sample(lines, len(lines))),
        ("twice", lambda: lines + lines),
        ("without Clear", lambda: lines[1:]),
        ("without circuit", lambda: [line for line in lines if "Circuit" not in line]),
        ("without bases", lambda: [line for line in lines if "oltageBases" not in line]),
        ("each line twice", lambda: [line for one in lines for line in (one, one)]),
    ]
    words, way = rng.choice(ways)
    texts["master.dss"] = "\n".join([*way(), ""]).encode()
    return f"lines {words}"
