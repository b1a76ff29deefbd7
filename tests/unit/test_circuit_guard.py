"""A circuit file is data: what it may say, and what is refused with file and line.

What is forbidden is shown to the reader alone; no forbidden line of this file ever reaches OpenDSS.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from circuit_files_written import read

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file import allow_list
from g2g_opt.circuit.script_file.script import read_script
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError

# --- words


def test_the_recorded_words_are_those_of_the_engine() -> None:
    """A new engine's words are looked at before they are let through: this fails, and the lists are read again."""
    circuit = Circuit(["New Circuit.c"])
    classes = circuit.ask_array("DSS_Get_Classes", "char*")
    stored = allow_list.words()
    commands = [
        circuit.ask_text("DSS_Executive_Get_Command", i + 1)
        for i in range(circuit.ask("DSS_Executive_Get_NumCommands"))
    ]
    options = [
        circuit.ask_text("DSS_Executive_Get_Option", i + 1) for i in range(circuit.ask("DSS_Executive_Get_NumOptions"))
    ]
    assert tuple(name.lower() for name in commands) == stored.commands
    assert tuple(name.lower() for name in options) == stored.options
    everything = {name.lower() for name in json.loads(data_path("opendss", "words.json").read_text())["classes"]}
    assert {name.lower() for name in classes} - everything == {"gicsource"}
    circuit.command("New Line.x")
    for kind in ("line", "load", "linecode", "transformer", "loadshape", "pvsystem", "monitor"):
        circuit.command(f"New {kind}.probe" if kind != "line" else "Edit Line.x")
        names = circuit.ask_array("DSSElement_Get_AllPropertyNames", "char*")
        assert tuple(name.lower() for name in names) == stored.properties[kind], kind


def test_every_word_of_the_allow_list_is_a_word_of_the_engine() -> None:
    stored = allow_list.words()
    verbs = allow_list.INCLUDES | allow_list.FOLDERS | allow_list.COORDINATES | allow_list.DESCRIBES
    verbs |= allow_list.MORE | allow_list.OPTIONS | allow_list.PLAIN | allow_list.LEFT_OUT | allow_list.REPORTS
    verbs |= allow_list.STUDIED_WHOLE | allow_list.ESTIMATES
    verbs |= allow_list.CHOOSES | allow_list.ASKS
    assert verbs <= set(stored.commands)
    assert allow_list.OPTIONS_OF_CLASSES | allow_list.OPTIONS_OF_OBJECTS <= allow_list.OPTIONS_PASSED
    assert allow_list.ASKS <= allow_list.LEFT_OUT
    options = allow_list.OPTIONS_LEFT_OUT | allow_list.OPTIONS_OF_REPORTS
    assert allow_list.OPTIONS_PASSED | options <= set(stored.options)
    assert not allow_list.OPTIONS_PASSED & options
    known = {name for names in stored.properties.values() for name in names}
    assert known >= allow_list.PROPERTIES_REFUSED | allow_list.PROPERTIES_OF_FILES | allow_list.PROPERTIES_LEFT_OUT


# --- what is refused, at the reader alone

FORBIDDEN_COMMANDS = sorted(
    set(allow_list.words().commands)
    - allow_list.INCLUDES
    - allow_list.FOLDERS
    - allow_list.COORDINATES
    - allow_list.DESCRIBES
    - allow_list.MORE
    - allow_list.CHOOSES
    - allow_list.OPTIONS
    - allow_list.PLAIN
    - allow_list.LEFT_OUT
    - allow_list.STUDIED_WHOLE
    - allow_list.ESTIMATES
    - allow_list.REPORTS
    - {"//"}
)


def test_what_is_forbidden_holds_what_runs_changes_files_or_connects() -> None:
    must = {"doscmd", "formedit", "alignfile", "connect", "disconnect", "distribute", "newactor", "remove"}
    must |= {"rephase", "top", "cvrtloadshapes", "obfuscate", "panel", "reconductor", "quit"}
    assert must <= set(FORBIDDEN_COMMANDS)


@pytest.mark.parametrize("verb", sorted(allow_list.REPORTS))
def test_a_report_is_left_out_and_listed_and_never_told_to_the_engine(tmp_path: Path, verb: str) -> None:
    for spelled in (verb, verb.upper(), f'"{verb}"'):
        script = read(tmp_path, f"{spelled} monitors m1 file=x.csv\nPlot Profile Phases=All")
        assert not any(verb in command.lower() or "plot" in command.lower() for command in script.commands)
        assert f"Master.dss:5: {verb}; reports and drawings" in script.left_out[0]
        assert "Master.dss:6: plot; reports and drawings" in script.left_out[1]
    with pytest.raises(InputError, match="not clear which object"):
        read(tmp_path, f"{verb} voltages\n~ kW=3")


@pytest.mark.parametrize("verb", FORBIDDEN_COMMANDS)
def test_a_forbidden_command_is_refused_with_file_and_line(tmp_path: Path, verb: str) -> None:
    for spelled in (verb, verb.upper(), f'"{verb}"'):
        with pytest.raises(InputError, match=r"Master\.dss, line 5: .*--trust-circuit"):
            read(tmp_path, f"{spelled} something")


@pytest.mark.parametrize(
    "line", ["Set Recorder=yes", "Set DemandInterval=true", "Set Overloadreport=true", "Solve mode=daily log=yes"]
)
def test_a_report_while_solving_is_left_out_and_listed(tmp_path: Path, line: str) -> None:
    script = read(tmp_path, line)
    name = line.split()[-1].partition("=")[0].lower()
    assert not any(name in command for command in script.commands)
    assert any(f"{name}=" in told and "reports and drawings" in told for told in script.left_out)


def test_an_abbreviation_is_the_command_that_opendss_takes_it_for(tmp_path: Path) -> None:
    assert allow_list.find_word("sh", allow_list.words().commands) == "show"
    assert allow_list.find_word("calcv", allow_list.words().commands) == "calcvoltagebases"
    assert "export;" in read(tmp_path, "expo voltages").left_out[0]
    with pytest.raises(InputError, match="'doscmd'"):
        read(tmp_path, "dos echo")


@pytest.mark.parametrize(
    "line",
    [
        "New Generator.g bus1=mid kV=12.47 kW=5 UserModel=model",
        "New Generator.g bus1=mid kV=12.47 kW=5 userm=model",
        "New PVSystem.p bus1=mid kV=12.47 userdata=(x)",
        "Generator.g.ShaftModel=model",
        "Edit CapControl.k UserModel=model",
        "New Storage.s bus1=mid DynaDLL=model",
        "BatchEdit Generator..* usermodel=model",
        "New Loadshape.s npts=2 mult=(1 1) action=csvsave",
        "New DynamicExp.d expression=[x]",
        "New VCCS.v bus1=mid",
        "Set Editor=program",
        "Set edit=program",
        "Set Datapath=elsewhere",
        "Set RegistryUpdate=yes",
        "Redirect /etc/hostname",
        "Redirect ../../../../../../../../../etc/hostname",
        "New Loadshape.s npts=2 csvfile=/etc/hostname",
        "New Loadshape.s npts=2 mult=(file=/etc/hostname)",
        "New Loadshape.s npts=2 mult=[dblfile = ../../../../../../../../etc/hostname]",
        "New Loadshape.s npts=2 mult=(npts=2 file=/etc/hostname)",
        "New Loadshape.s npts=2 mult=(d=/etc/hostname)",
        "New Loadshape.s npts=2 mult='Sng = /etc/hostname'",
        "New Loadshape.s npts=2 mult=[dblfiles=/etc/hostname]",
        "New Loadshape.s npts=2 mult=('d'=/etc/hostname)",
        "New Loadshape.s npts=2 mult=(@v.=/etc/hostname)",
        "New Loadshape.s npts=2 mult=(@v^=/etc/hostname)",
        "Buscoords /etc/hostname",
        "cd /",
        "var @f=(file=/etc/hostname)",
        "New Loadshape.s npts=2 csvfile=@f",
        "Redirect @f",
    ],
)
def test_what_loads_writes_or_reads_elsewhere_is_refused_with_file_and_line(tmp_path: Path, line: str) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(InputError, match=r"Master\.dss, line 5: "):
        read(folder, line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("New Load.k bus1=mid kWatts=3", "no property 'kWatts'"),
        ("New Lode.k bus1=mid", "class 'Lode'"),
        ("New Load", "class and a name"),
        ("Nwe Load.k", "no OpenDSS command"),
        ("New Load.k bus1=(mid", "opened and not closed"),
        ("New Load.k kW= kvar=3 = 4", "followed by"),
        ("Set voltagebase", "names no option"),
        ("Set nosuchoption=1", "no option"),
        ("Redirect gone.dss", r"gone\.dss' does not exist"),
        ("Redirect", "names no file"),
        ("Redirect .", "no regular file"),
        ("cd gone", "gone' does not exist"),
        ("Load.l=3", "no object with a property"),
        ("  /* a remark\n*/", r"'/\*' is no OpenDSS command"),
        ("? Line.one.r1\n~ r1=3", "not clear which object"),
        ("Select Line.one\n~ kW=3", "class line has no property 'kW'"),
        ("New Load.l " + "1 " * 60, "one value too many"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"Master\.dss, line {5 + line.count('~')}: .*{words}"):
        read(tmp_path, line)


def test_a_file_that_includes_itself_is_refused_at_the_line(tmp_path: Path) -> None:
    (tmp_path / "one.dss").write_text("! a remark\nRedirect two.dss\n")
    (tmp_path / "two.dss").write_text("Redirect one.dss\n")
    with pytest.raises(InputError, match=r"two\.dss .*line 1: one\.dss includes itself"):
        read(tmp_path, "Redirect one.dss")


def test_devices_pipes_and_binary_files_are_no_circuits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dss")
    with pytest.raises(InputError, match="no regular file"):
        read(tmp_path, "Redirect pipe.dss")
    with pytest.raises(InputError, match="not found, or no regular file"):
        read_script(tmp_path / "pipe.dss")
    (tmp_path / "binary.dss").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match=r"binary\.dss.*line 1: no text"):
        read(tmp_path, "Redirect binary.dss")
