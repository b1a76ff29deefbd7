"""Channels and outages as studies ask for them."""

from __future__ import annotations

import argparse

import pytest

from g2g_opt.communication import read_channels
from g2g_opt.errors import InputError
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from studies.catalogue import make_question, parse_question, question_json, question_type
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.outages import worst_outage_start_s
from studies.shared.question_flags import add_question_flags, given_fields


@pytest.mark.parametrize(
    ("ramps", "outage_s", "start_s"),
    [
        # The end of what rises most within the outage.
        (((400.0, 900.0, 1.0), (2500.0, 3000.0, 0.5)), 300.0, 600.0),
        (((400.0, 900.0, 1.0), (2500.0, 3000.0, 0.5)), 900.0, 400.0),
        (((100.0, 1100.0, 0.9), (2000.0, 2100.0, 1.0)), 200.0, 2000.0),
        # Nothing rises.
        (((400.0, 900.0, 0.5),), 300.0, 0.0),
        ((), 300.0, 0.0),
    ],
)
def test_the_worst_moment_of_an_outage(
    ramps: tuple[tuple[float, float, float], ...], outage_s: float, start_s: float
) -> None:
    assert worst_outage_start_s(Scenario(replica_ramps=ramps), outage_s) == start_s


def test_an_outage_is_of_flexible_operation_and_of_all_channels() -> None:
    asked = HostingCapacityStudy(outage_s=300.0)
    assert asked.policy.channels is None
    channels = asked.flexible_policy.channels
    assert channels is not None
    assert channels.spec("grid", "controller", "voltage").outages == ((600.0, 900.0),)
    lossy = Policy("ofo", channels=read_channels("udp:loss=0.2"))
    own = HostingCapacityStudy(policy=lossy, outage_s=60.0, outage_start_s=5.0)
    assert own.flexible_policy.channels == read_channels("udp:loss=0.2,outage=5-65")
    assert HostingCapacityStudy().flexible_policy == HostingCapacityStudy().policy
    with pytest.raises(InputError, match="outage_start_s needs outage_s"):
        HostingCapacityStudy(outage_start_s=5.0).check_fields()


def test_channels_are_asked_for_by_flag_and_by_table() -> None:
    for study in ("hosting-capacity", "location"):
        kind = question_type(study)
        parser = argparse.ArgumentParser()
        add_question_flags(parser, kind)
        given = given_fields(kind, parser.parse_args(["--channel", "tcp:loss=0.3,fail_safe=safe"]))
        asked = kind(**given)
        assert asked.policy.channels == read_channels("tcp:loss=0.3,fail_safe=safe")
        assert parse_question(question_json(asked)) == asked
        table = {"kind": "ofo", "channels": {"default": {"transport": "udp", "loss": 0.1}}}
        assert make_question(study, {"policy": table}).policy.channels == read_channels("udp:loss=0.1")  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="did you mean loss"):
            make_question(study, {"policy": {"kind": "ofo", "channels": "udp:los=0.1"}})
