"""Regulators are read whole: whose winding has the changer, with which range, and what its control does besides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_rigs import AGREE_PU, Case, circuit_commands

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, Circuit
from g2g_opt.circuit.regulators import RegulatorReading, read_regulators
from g2g_opt.controller.adaptive_tap import room_to_move
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder
from g2g_opt.grid.sensitivity import measure_tap_slopes

CIRCUITS = Path(__file__).resolve().parent.parent / "circuits"
PLAIN = "New Transformer.t buses=(end low) kvs=(12.47 4.16) kvas=(5000 5000) xhl=5 "
THREE_WINDINGS = (
    "New Transformer.t windings=3 buses=(end low aux) kvs=(12.47 4.16 0.48) kvas=(3000 2000 1000) xhl=5 xht=6 xlt=4",
    "Transformer.t.wdg=2 maxtap=1.05 mintap=0.95 numtaps=20",
    "Transformer.t.wdg=3 maxtap=1.1 mintap=0.8 numtaps=12",
    "New RegControl.two transformer=t winding=2 vreg=120 ptratio=20",
    "New RegControl.three transformer=t winding=3 vreg=120 ptratio=2.3",
)
LOADS = (
    "New Load.a bus1=low kv=4.16 kw=900 pf=0.95",
    "New Load.b bus1=low.2 phases=1 kv=2.4 kw=150 pf=0.95",
)


def reading_of(*body: str) -> tuple[Circuit, RegulatorReading]:
    circuit = Circuit(circuit_commands([*body, *LOADS]), tolerance=1e-10, max_iterations=300)
    circuit.finish()
    return circuit, read_regulators(circuit)


def test_the_changer_is_that_of_the_tap_winding() -> None:
    feeder = Feeder.from_dss(CIRCUITS / "a1_tapwinding.dss")
    found = feeder.regulator("oltc")
    assert (found.winding, found.controlled_winding, found.bus, found.direction) == (1, 2, "head", -1)
    assert (found.tap_min_pu, found.tap_max_pu) == (0.85, 1.15)
    assert found.tap_step_pu == pytest.approx(0.0125)
    words = "\n".join(describe_feeder(feeder))
    assert "changer on winding 1, for the voltage of winding 2, 0.85 to 1.15 in steps of 0.0125" in words


@pytest.mark.parametrize(("kw", "tap", "far_pu"), [(0.0, 1.0, None), (3000.0, 0.975, 0.9632)])
def test_own_control_moves_the_changer_of_the_tap_winding(kw: float, tap: float, far_pu: float | None) -> None:
    feeder = Feeder.from_dss(CIRCUITS / "a1_tapwinding.dss")
    circuit = Circuit(feeder.commands, regulator_control_dt_s=SETTLED_DT_S)
    for phase in (1, 2, 3):
        circuit.add_injection(f"x{phase}", "mid", (phase,), 11 / 3**0.5, (0.6, 1.4))
    circuit.finish()
    circuit.injection_kw[:] = kw / 3.0
    circuit.injection_kvar[:] = kw / 3.0 * np.tan(np.arccos(0.95))
    circuit.solve()
    assert circuit.tap(feeder.regulator("oltc")) == pytest.approx(tap)
    if far_pu is not None:
        place = circuit.node_index["far", 2]
        assert abs(circuit.node_voltages()[place]) / circuit.node_base_v[place] == pytest.approx(far_pu, abs=2e-4)


def test_two_controls_on_one_transformer_have_their_own_ranges_and_steps() -> None:
    _, found = reading_of(*THREE_WINDINGS)
    ranges = {r.name: (r.winding, r.tap_min_pu, r.tap_max_pu) for r in found.regulators.values()}
    assert ranges == {"two": (2, 0.95, 1.05), "three": (3, 0.8, 1.1)}
    assert found.regulators["two"].tap_step_pu == pytest.approx(0.005)
    assert found.regulators["three"].tap_step_pu == pytest.approx(0.025)
    assert found.notes == ()


def test_two_changers_on_one_transformer_are_solved_by_both_engines() -> None:
    case = Case.of(circuit_commands([*THREE_WINDINGS, *LOADS, "New Load.c bus1=aux kv=0.48 kw=300 pf=0.9"]))
    settings = [(1.0, 1.0), (0.95, 1.1), (1.05, 0.85), (1.0125, 0.925)]
    flow = BatchPowerFlow(
        case.network,
        [[] for _ in settings],
        [Setting((("three", three), ("two", two))) for two, three in settings],
        tolerance_pu=1e-10,
        phasors=True,
    )
    flow.solve()
    assert flow.solved.all()
    for column, (two, three) in enumerate(settings):
        circuit = Circuit(case.commands, tolerance=1e-11, max_iterations=1000)
        circuit.finish()
        regulators = read_regulators(circuit).regulators
        circuit.set_tap(regulators["two"], two)
        circuit.set_tap(regulators["three"], three)
        circuit.solve()
        difference = np.abs(flow.phasors[:, column] - circuit.node_voltages()) / case.base_v()
        assert difference.max() < AGREE_PU


def test_a_second_control_on_the_same_changer_is_named_and_moves_nothing_of_its_own() -> None:
    first = "New RegControl.first transformer=t winding=2 vreg=120 ptratio=20"
    _, found = reading_of(
        PLAIN, first, "New RegControl.second transformer=t winding=1 tapwinding=2 vreg=118 ptratio=60"
    )
    assert list(found.regulators) == ["first"]
    assert found.notes == ("RegControl second moves the same changer as first: winding 2",)


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ((PLAIN, "New RegControl.r transformer=t winding=2 vreg=120 enabled=no"), "RegControl r is disabled"),
        (
            (PLAIN, "Transformer.t.wdg=2 numtaps=0", "New RegControl.r transformer=t winding=2 vreg=120"),
            "RegControl r moves winding 2 of transformer t, which has no tap changer",
        ),
        (
            (PLAIN, "Transformer.t.wdg=2 maxtap=1 mintap=1", "New RegControl.r transformer=t winding=2 vreg=120"),
            "RegControl r moves winding 2 of transformer t, which has no tap changer",
        ),
    ],
)
def test_a_control_without_a_changer_is_named(body: tuple[str, ...], note: str) -> None:
    _, found = reading_of(*body)
    assert not found.regulators
    assert found.notes == (note,)
    assert Case.of(circuit_commands([*body, *LOADS])).network.tapped == ()


def test_a_disabled_transformer_is_moved_by_nobody() -> None:
    tie = "New Transformer.u buses=(end other) kvs=(12.47 4.16) kvas=(500 500) xhl=5 enabled=no"
    _, found = reading_of(PLAIN, tie, "New RegControl.r transformer=u winding=2 vreg=120")
    assert not found.regulators
    assert found.notes == ("RegControl r moves transformer u, which is disabled",)


def test_the_changer_of_an_autotransformer_is_moved_and_read() -> None:
    auto = "New AutoTrans.at phases=3 windings=2 xhx=4 buses=[end low] kvs=[12.47 4.16] kvas=[3000 3000]"
    circuit, found = reading_of(
        auto,
        "AutoTrans.at.wdg=2 maxtap=1.08 mintap=0.92 numtaps=16",
        "New RegControl.r transformer=at winding=2 vreg=120 ptratio=20",
    )
    regulator = found.regulators["r"]
    assert (regulator.kind, regulator.winding, regulator.tap_min_pu, regulator.tap_max_pu) == (
        "autotrans",
        2,
        0.92,
        1.08,
    )
    place = circuit.node_index["low", 1]
    circuit.solve()
    before = abs(circuit.node_voltages()[place])
    circuit.set_tap(regulator, 1.05)
    circuit.solve()
    assert circuit.tap(regulator) == pytest.approx(1.05)
    assert abs(circuit.node_voltages()[place]) > 1.02 * before


def test_line_drop_compensation_reverse_mode_and_a_remote_bus_are_named() -> None:
    _, found = reading_of(
        PLAIN,
        "New RegControl.r transformer=t winding=2 vreg=120 ptratio=20 ctprim=300 R=3 X=9",
        "Edit RegControl.r reversible=yes revvreg=118 bus=low.1",
    )
    assert found.regulators["r"].settings == (
        "line-drop compensation R 3 V, X 9 V",
        "holds the voltage of bus low.1",
        "reverse mode: holds 118 V when power flows back",
    )


@pytest.mark.parametrize("ratio", [0.85, 1.0, 1.15])
def test_a_higher_ratio_on_the_source_side_lowers_the_voltages_behind(ratio: float) -> None:
    """Slopes are measured per step up, also at the ends of the range, and the step stays inside it."""
    feeder = Feeder.from_dss(CIRCUITS / "a1_tapwinding.dss")
    circuit = Circuit(feeder.commands, tolerance=1e-10, max_iterations=300)
    circuit.finish()
    regulator = feeder.regulator("oltc")
    circuit.set_tap(regulator, ratio)
    place = circuit.node_index["far", 1]
    slopes = measure_tap_slopes(circuit, feeder.regulators, lambda v: np.abs(v[[place]]) / circuit.node_base_v[[place]])
    assert -0.02 < slopes[0, 0] < -0.009
    assert circuit.tap(regulator) == pytest.approx(ratio)


def test_a_controller_that_wants_more_voltage_lowers_a_changer_on_the_source_side() -> None:
    regulators = list(Feeder.from_dss(CIRCUITS / "a1_tapwinding.dss").regulators.values())
    rested = np.array([True])
    assert [bool(x[0]) for x in room_to_move(regulators, np.array([0.85]), rested)] == [False, True]
    assert [bool(x[0]) for x in room_to_move(regulators, np.array([1.15]), rested)] == [True, False]
    assert regulators[0].clipped(0.85 - 0.0125) == 0.85
