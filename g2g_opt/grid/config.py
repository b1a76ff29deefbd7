"""Tap positions and schedules under the address that the guide of OpenG2G gives them."""

from g2g_opt.tap_position import TapPosition, TapSchedule

__all__ = ["TapPosition", "TapSchedule"]
