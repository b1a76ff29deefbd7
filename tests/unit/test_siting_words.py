"""What the answer of a siting study says of plans that it did not take."""

from __future__ import annotations

from studies.pv_datacenter_siting.operation_rows import CHOSEN_BY, HELD_OUT, HeldOutRow, OtherPlanRow
from studies.pv_datacenter_siting.operation_words import held_out_words, others_words


def other(pv: str, cost_more: float, margin_pu: float, *, taken: bool = False, over_pu_h: float = 0.0) -> OtherPlanRow:
    return OtherPlanRow(
        plan="plan 1",
        pv=pv,
        sites="",
        taken=taken,
        cost_more=cost_more,
        cost_more_held_out=cost_more,
        over_pu_h=over_pu_h,
        margin_pu=margin_pu,
        n_simulated=22,
    )


def test_a_cheaper_plan_that_is_not_taken_has_its_reason() -> None:
    """Costs that differ by less than the gap are alike, and margin decides: that has to be said where it shows."""
    taken, dearer = other("far: 2000 kW", 0.0, 0.0023, taken=True), other("mid: 2000 kW", 9288.0, 0.0030)
    nearer = other("far: 2000 kW with storage 89 kW", -1354.0, 0.0002)
    words = others_words([taken, nearer, dearer])
    assert "with storage 89 kW (-1,354 $ a year, nearer to a limit)" in words
    assert "less than the gap asked for (--gap) the furthest inside is taken" in words
    assert "--gap" not in others_words([taken, dearer])
    outside = others_words([taken, other("far: 9000 kW", -5000.0, -0.01, over_pu_h=3.0)])
    assert "(-5,000 $ a year, outside limits)" in outside
    assert "--gap" not in outside


def test_a_circuit_without_regulators_has_no_tap_steps_to_speak_of() -> None:
    weeks = [HeldOutRow("plan 1", one, 4380, 0, 1000.0, 1500.0, 500.0, 0) for one in (CHOSEN_BY, HELD_OUT)]
    words = held_out_words(weeks, has_regulators=False)
    assert "The placement among those" in words
    assert "losses save 500 $ there and save 500 $ in the weeks between" in words
    assert "tap step" not in words
    assert "Set-points" not in words
    assert "tap steps and losses save 500 $" in held_out_words(weeks, has_regulators=True)
