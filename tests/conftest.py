"""Settings of all tests; property tests have no deadline, and the same examples at every run of CI."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before OpenDSSDirect.py loads the same library: later, its threads cannot be kept safe (see there).
import g2g_opt.circuit.engine_library  # noqa: F401

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests and what they import stay to the end: nobody has to look through them for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
