"""Tests of one group run on one worker: what they share is made once."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_is_seen_by_what_shares_tests_out(request: pytest.FixtureRequest) -> None:
    # It reads the group off the id. With pytest 9.2, pytest-xdist 3.8 puts none there and says nothing.
    shared_out = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@together") is shared_out
