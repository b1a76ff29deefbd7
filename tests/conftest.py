"""Settings of property tests: no deadline on a noisy machine, and the same examples at every run of CI."""

from __future__ import annotations

import os

from hypothesis import settings

# Before OpenDSSDirect.py loads the same library: later, its threads cannot be kept safe (see there).
import g2g_opt.circuit.engine_library  # noqa: F401

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
