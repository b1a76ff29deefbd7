"""A day of market files, to be read or spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest
from market_days import MarketDay


@pytest.fixture
def july(tmp_path: Path) -> MarketDay:
    return MarketDay("2018-07-02", tmp_path).write_all()
