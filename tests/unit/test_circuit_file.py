"""A circuit file is read as OpenDSS reads it: what OpenDSS is told is the circuit of the file."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import opendssdirect
import pytest
from circuit_files_written import HEAD, SHARED, TAIL, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file import child, script
from g2g_opt.circuit.script_file.script import read_script
from g2g_opt.circuit.script_file.tokens import Parameter, parameters
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("! remark", []),
        ("  // remark", []),
        ("New Line.a kW=5!remark", ["New", "Line.a", "kW=5"]),
        ("a, b ,c", ["a", "b", "c"]),
        ("a,,c", ["a", '""', "c"]),
        ("kW = 5 //x", ["kW=5"]),
        ("kvs=(12.47 4.16)kvas=[1, 2]", ["kvs=(12.47 4.16)", "kvas=[1, 2]"]),
        ("""a='x y' b="it's" c={2 3 *}""", ["a='x y'", 'b="it\'s"', "c={2 3 *}"]),
        ("bus1=O'Brien.1", ["bus1=O'Brien.1"]),
        ("a=(5) , b=6", ["a=(5)", '""', "b=6"]),
        ("a=(5), b=6", ["a=(5)", "b=6"]),
        ("a=5 , b=6", ["a=5", "b=6"]),
        ("a= , b=6", ['a=""', "b=6"]),
        ("a\tb\u00a0c", ["a", "b\u00a0c"]),
    ],
)
def test_lines_are_divided_as_opendss_divides_them(line: str, expected: list[str]) -> None:
    assert [str(parameter) for parameter in parameters(line)] == expected


names = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=6)
values = st.text(alphabet="abcXYZ019_-.:| ,=!/", max_size=10)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(names, st.sampled_from("\"'([{"), values), min_size=1, max_size=6))
def test_quoted_values_survive_reading_and_writing_again(given_values: list[tuple[str, str, str]]) -> None:
    written = [Parameter(name, value, quote) for name, quote, value in given_values]
    assert parameters(" ".join(str(parameter) for parameter in written)) == written


def test_block_comments_variables_and_property_edits_reach_opendss(tmp_path: Path) -> None:
    extra = (
        "/* a remark\nNew Lode.nothing\n*/\nvar @big=900 @f=0.95\nNew Load.k bus1=mid kV=12.47 kW=@big pf=@f\n"
        "Load.k.kvar={100 2 *}\n~ vminpu=0.8\nBatchEdit Load..* vmaxpu=1.2\nkW=850"
    )
    circuit = Circuit(read(tmp_path, extra).commands)
    asked = [circuit.command(f"? Load.k.{name}") for name in ("kW", "kvar", "vminpu", "vmaxpu")]
    # OpenDSS keeps the power factor that the 200 kvar of 900 kW made when kW changes alone.
    assert [float(value) for value in asked] == pytest.approx([850, 200 * 850 / 900, 0.8, 1.2])


@pytest.mark.parametrize(
    "extra",
    [
        "New Load.k bus1=mid kV=12.47 kW=(5) , kvar=3 pf=0.8",
        "New Load.k bus1=mid kV=12.47 kW=5,,kvar=3",
        "New Load.k bus1=mid kV=12.47 kW= ,kvar=3",
        'New Load.k bus1=mid kV=12.47 kW="" kvar=3',
        "New Load.k 3,,12.47, 5",
        "Set mode= ,loadmult=0.5",
        "Load.l.kW=(77) , pf=0.8",
        ", Load.l.kW=5",
        "Load.l.kW=77 , pf=0.8\nOpen Line.one,,2",
        "New obj=Load.k bus1=mid kV=12.47 kW=5",
        "Select Line.one\n~ r1=0.9",
        "Open Line.one 1\nClose Line.one 1\nr1=0.5",
        "Set class=Line object=one\n~ x=0.7",
        "Set element=Line.one\n~ 5=3 r1=0.7",
        "New Loadshape.s npts=2 interval=1 mult=(d=shape.dbl)\nLoadshape.s.qmult=(Sng=shape.sng)",
        "New Loadshape.s npts=2 interval=1\nLoadshape.s.mult=[file=shape.csv col=2]",
        "New Load.O'Brien bus1=mid kV=12.47 kW=3\nLoad.O'Brien.kW=4\nNew Load.a(b bus1=O'B kV=12.47",
        "Load.none_such.kW=5",
        "Edit Circuit.c pu=1.05\n~ kW=3",
        "Disable Line.*\n~ kW=3\nEnable Line.*",
        "Select Circuit.c\nkW=3",
        "var @m=(1, 2) @p=50% @z=(0.3 | 0.1 0.3)\nNew Loadshape.s npts=2 interval=1 mult=@m",
    ],
)
def test_odd_lines_are_the_circuit_that_opendss_compiles(tmp_path: Path, extra: str) -> None:
    """Found with random scripts: each of these was read as another circuit once, or not at all."""
    (tmp_path / "shape.csv").write_text("0.5, 1\n0.6, 2\n")
    np.array([0.3, 0.7]).tofile(tmp_path / "shape.dbl")
    np.array([0.3, 0.7], dtype=np.float32).tofile(tmp_path / "shape.sng")
    path = write(tmp_path, extra)
    path.write_text(path.read_text().replace("Solve", ""))

    def compiled(commands: tuple[str, ...]) -> str:
        circuit = Circuit(commands)
        circuit.finish()
        return child.network_digest(circuit)

    try:
        theirs = compiled((f'Compile "{path}"',))
    except InputError:
        with pytest.raises(InputError):
            compiled(read_script(path).commands)
    else:
        assert compiled(read_script(path).commands) == theirs


def test_what_opendss_passes_over_is_listed(tmp_path: Path) -> None:
    assert read(tmp_path, "New Load.k bus1=mid kV=12.47 kW=(5) , kvar=3 pf=0.8").left_out[0] == (
        "Master.dss:5: kvar=3 pf=0.8; OpenDSS reads nothing of a line behind an empty value"
    )


def test_changes_of_elements_that_are_not_there_are_listed(tmp_path: Path) -> None:
    lines = (
        "Edit Load.m kW=5",
        "Disable load.lod",
        "edit LOAD.L kw=6",
        "Edit Line.two r1=1",
        "Edit Vsource.source pu=1",
    )
    found = [words for words in read(tmp_path, "\n".join(lines)).left_out if "no such element" in words]
    assert [words.partition(";")[0].lower() for words in found] == [
        "master.dss:5: edit load.m",
        "master.dss:6: disable load.lod",
        "master.dss:8: edit line.two",
    ]


def test_files_that_include_each_other_over_and_over_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "_INCLUDED_MAX", 100)
    for i in range(20):
        (tmp_path / f"f{i}.dss").write_text(f"Redirect f{i + 1}.dss\nRedirect f{i + 1}.dss\n")
    (tmp_path / "f20.dss").write_text("")
    with pytest.raises(InputError, match="includes more than 100 files"):
        read(tmp_path, "Redirect f0.dss")


@pytest.mark.parametrize("figures", ["kw=NaN", "kw=inf kvar=1", "kw=1 kvar=NaN", "kw=1e400"])
def test_a_load_of_no_finite_power_is_refused_by_its_name(tmp_path: Path, figures: str) -> None:
    path = tmp_path / "own.dss"
    load = f"New Load.x bus1=b kv=12.47 {figures}"
    path.write_text(f"New Circuit.a basekv=12.47 bus1=s\nNew Line.l bus1=s bus2=b\n{load}\n")
    with pytest.raises(InputError, match=r"load\.x is no finite load|is no number"):
        Feeder.from_dss(path)


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    master = write(tmp_path, "")
    master.rename(tmp_path / os.fsdecode(b"M\xe4ster.dss"))
    with pytest.raises(InputError, match="is no text"):
        read_script(tmp_path / os.fsdecode(b"M\xe4ster.dss"))


def test_a_link_stands_where_it_stands(tmp_path: Path) -> None:
    """What a linked file names lies beside the link, and `..` leads back from it: as in OpenDSS."""
    for folder, kw in (("here", 1), ("there", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "load.dss").write_text(f"New Load.k{kw} bus1=mid kV=12.47 kW={kw}\n")
    (tmp_path / "there" / "real.dss").write_text("Redirect load.dss\n")
    (tmp_path / "here" / "linked.dss").symlink_to("../there/real.dss")
    (tmp_path / "here" / "folder").symlink_to("../there")
    write(tmp_path / "there", "Redirect linked.dss\nRedirect folder/../folder/load.dss")
    master = tmp_path / "here" / "Master.dss"
    master.symlink_to("../there/Master.dss")
    script = read_script(master)
    assert [line.split()[1] for line in script.commands if "new Load.k" in line] == ["Load.k1", "Load.k2"]
    assert set(script.files) == {"Master.dss", "linked.dss", "load.dss", "folder/load.dss"}
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "er").mkdir()
    (tmp_path / "deep" / "er" / "out.dss").symlink_to(tmp_path / "here" / "load.dss")
    with pytest.raises(InputError, match="lies outside"):
        read(tmp_path / "deep" / "er", "Redirect out.dss")


def test_a_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "a]b"
    folder.mkdir()
    (folder / "shape.csv").write_text("0.5\n0.6\n")
    commands = read(folder, "New Loadshape.s npts=2 interval=1 mult=(file=shape.csv)").commands
    answer = Circuit(commands).command("? Loadshape.s.mult")
    assert [float(word) for word in answer.strip("[]").split()] == [0.5, 0.6]


def test_files_are_found_from_where_the_script_stands_and_in_any_case(tmp_path: Path) -> None:
    folder = tmp_path / "feeder"
    (folder / "Sub" / "deep").mkdir(parents=True)
    (folder / "Sub" / "a.dss").write_text("Redirect deep\\B.DSS\nNew Load.a bus1=mid kV=12.47 kW=1\n")
    (folder / "Sub" / "deep" / "b.dss").write_text("New Load.b bus1=mid kV=12.47 kW=2\n")
    (tmp_path / "codes.dss").write_text("New Linecode.lc nphases=3 r1=0.1 x1=0.2 units=km\n")
    (folder / "shape.csv").write_text("0.5, 1\n0.6, 2\n")
    extra = (
        "Redirect sub/A.dss\nRedirect ../codes.dss\n"
        "New Loadshape.s npts=2 interval=1 mult=[File=shape.csv, col=2]\n"
        "New Loadshape.t npts=2 interval=1 csvfile=shape.csv\ncd Sub\nRedirect deep/b2.dss"
    )
    (folder / "Sub" / "deep" / "b2.dss").write_text("New Load.b2 bus1=mid kV=12.47 kW=3\n")
    script = read(folder, extra)
    assert set(script.files) == {
        "Master.dss", "Sub/a.dss", "Sub/deep/b.dss", "../codes.dss", "shape.csv", "Sub/deep/b2.dss",
    }  # fmt: skip
    circuit = Circuit(script.commands)
    assert [float(circuit.command(f"? Load.{name}.kW")) for name in ("a", "b", "b2")] == [1, 2, 3]
    assert [float(word) for word in circuit.command("? Loadshape.s.mult").strip("[]").split()] == [1, 2]
    assert [float(word) for word in circuit.command("? Loadshape.t.mult").strip("[]").split()] == [0.5, 0.6]


def test_a_data_path_is_the_folder_of_what_follows_until_its_script_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in plain OpenDSS: b from the folder, a from beside the master, whose own path the included script leaves."""
    (tmp_path / "data").mkdir()
    (tmp_path / "a.dss").write_text("New Load.a bus1=mid kV=12.47 kW=1\n")
    (tmp_path / "sets.dss").write_text("Set Datapath=data\nRedirect b.dss\n")
    (tmp_path / "data" / "b.dss").write_text("New Load.b bus1=mid kV=12.47 kW=2\n")
    (tmp_path / "data" / "c.dss").write_text("New Load.c bus1=mid kV=12.47 kW=3\n")
    path = write(tmp_path, "Redirect sets.dss\nRedirect a.dss\nSet mode=snap datapath=data\nRedirect c.dss")
    monkeypatch.chdir(tmp_path)
    plain = opendssdirect.NewContext()
    plain.Text.Command(f'Compile "{path}"')
    circuit = Circuit(read_script(path).commands)
    for name, kw in (("a", 1), ("b", 2), ("c", 3)):
        plain.Text.Command(f"? Load.{name}.kW")
        assert float(circuit.command(f"? Load.{name}.kW")) == float(plain.Text.Result()) == kw


def test_traces_are_switched_off_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    extra = (
        "New Transformer.reg phases=3 windings=2 buses=[mid low] kvs=[12.47 12.47] kvas=[5000 5000] xhl=1\n"
        "New RegControl.creg transformer=reg winding=2 vreg=120 ptratio=60 debugtrace=yes\n"
        "New Monitor.m element=Line.one mode=1\nNew Energymeter.e Line.one 1 action=c\n"
        "Set tracecontrol=yes\nUUIDs x.dss"
    )
    before = set(tmp_path.iterdir()) | {write(tmp_path, extra)}
    for _ in range(2):
        feeder = Feeder.from_dss(tmp_path / "Master.dss")
    assert [line.partition(":")[2].partition(";")[0] for line in feeder.left_out] == [
        "6: debugtrace=yes of a regcontrol", "8: action=c of a energymeter", "9: set tracecontrol=yes", "10: uuids",
        "13: solve",
    ]  # fmt: skip
    assert set(tmp_path.iterdir()) == before


def test_latin_1_utf_16_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "! K\u00f6ln")
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    assert read_script(path).commands == read_script(write(tmp_path, "", "plain.dss")).commands
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes((HEAD + TAIL).encode(encoding))
        assert read_script(path).commands[0] == "clear"
    path.write_bytes((HEAD + "New Line.two bus1=mid bus2=K\u00f6ln\n" + TAIL).encode("latin-1"))
    assert "K\u00f6ln" in " ".join(read_script(path).commands)
    with pytest.raises(InputError, match="no UTF-8; save the circuit's files as UTF-8"):
        solution((f'Compile "{path}"',))


def solution(commands: tuple[str, ...]) -> dict[tuple[str, int], complex]:
    circuit = Circuit(commands, tolerance=1e-8, max_iterations=500)
    circuit.finish()
    nodes = zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True)
    return dict(zip(nodes, circuit.node_voltages().tolist(), strict=True))


@pytest.mark.skipif(not SHARED.is_dir(), reason="public circuits lie beside the checkout, not in it")
@pytest.mark.parametrize(
    "master",
    ["13Bus/IEEE13Nodeckt.dss", "37Bus/ieee37.dss", "LVTestCaseNorthAmerican/Master.dss", "NEVTestCase/NEVMASTER.DSS",
     "ckt7/Master_ckt7.dss"],
)  # fmt: skip
def test_public_circuits_pass_and_are_the_circuit_that_opendss_compiles(tmp_path: Path, master: str) -> None:
    shutil.copytree(SHARED / "circuits", tmp_path / "circuits")
    path = tmp_path / "circuits" / master
    # A study settles the circuit itself: its own solutions are left out by us, so here by OpenDSS, too.
    path.write_text(re.sub(r"(?im)^solve.*$", "", path.read_text()))
    ours, theirs = solution(read_script(path).commands), solution((f'Compile "{path}"',))
    assert ours == theirs


def test_meters_are_not_filled_where_nothing_is_solved(tmp_path: Path) -> None:
    """A study settles the circuit itself, so that behind the `Solve` of a file there is no solution to sample."""
    path = tmp_path / "Master.dss"
    path.write_text(
        "Clear\nNew Circuit.c bus1=head basekv=12.47\nNew Line.one bus1=head bus2=mid\nNew Load.l bus1=mid kv=12.47\n"
        "New Energymeter.m Line.one 1\nSolve\nSample\nSetkVBase head kvll=12.47\nSetkVBase mid kvll=12.47\n",
        encoding="utf-8",
    )
    feeder = Feeder.from_dss(path)
    assert set(feeder.buses) == {"head", "mid"}
    assert [words.partition(";")[0] for words in feeder.left_out] == ["Master.dss:6: solve", "Master.dss:7: sample"]


@pytest.mark.parametrize("mode", ["dynamics", "Dyn", "faultstudy", "fault", "Harmonics", "h", "harmonict"])
@pytest.mark.parametrize("verb", ["Set", "Solve"])
def test_modes_that_begin_from_a_solution_are_left_out(tmp_path: Path, mode: str, verb: str) -> None:
    """OpenDSS begins them from the solution that a study leaves out, and ended its process beside a PV system."""
    path = tmp_path / "Master.dss"
    path.write_text(
        "Clear\nNew Circuit.c bus1=head basekv=12.47\nNew Line.one bus1=head bus2=mid\nNew Load.l bus1=mid kv=12.47\n"
        "New PVSystem.p bus1=mid kv=12.47 kva=100 pmpp=100\nNew Storage.s bus1=mid kv=12.47\n"
        f"Set voltagebases=12.47\nCalcv\nSolve\n{verb} mode={mode} number=3\n"
    )
    feeder = Feeder.from_dss(path)
    assert f"Master.dss:10: {verb.lower()} mode={mode}; a study is a snapshot" in feeder.left_out


def test_an_estimate_is_the_allocation_of_loads_without_its_report(tmp_path: Path) -> None:
    text = (
        "Clear\nNew Circuit.c bus1=head basekv=12.47\nNew Line.one bus1=head bus2=mid\n"
        "New Load.l bus1=mid kv=12.47 xfkva=500 pf=0.95 allocationfactor=0.4\n"
        "New Energymeter.m element=Line.one peakcurrent=[10 11 12]\nSet voltagebases=12.47\nCalcv\nSolve\n{}\n"
    )
    powers = {}
    for verb in ("AllocateLoads", "Estimate"):
        path = tmp_path / f"{verb}.dss"
        path.write_text(text.format(verb))
        feeder = Feeder.from_dss(path)
        (powers[verb],) = [load.kw for load in feeder.own_loads]
    # 11 A at 12.47 kV, at a power factor near the load's.
    assert powers["Estimate"] == powers["AllocateLoads"] == pytest.approx(11 * 12.47 * 3**0.5 * 0.95, rel=0.03)
    assert any("estimate" in words for words in feeder.left_out)
    assert not list(tmp_path.glob("*.csv"))


def test_a_variable_may_be_made_of_another(tmp_path: Path) -> None:
    path = tmp_path / "Master.dss"
    path.write_text(
        "Clear\nNew Circuit.c bus1=head basekv=12.47\nvar @p=450\nvar @q=(@p 2 /)\n"
        "New Load.l bus1=head kv=12.47 kw=@p kvar=@q\nSet voltagebases=12.47\nCalcv\n"
    )
    assert solution(read_script(path).commands) == solution((f'Compile "{path}"',))
    (load,) = Feeder.from_dss(path).own_loads
    assert load.kw == 450.0
