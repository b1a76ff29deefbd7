"""Channels as the TOML table that a question's policy holds."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import tomli_w

from g2g_opt.communication import Channels


def channels_toml(channels: Channels) -> str:
    """`[policy.channels]`: what is as it is by default is left out."""
    return tomli_w.dumps({"policy": {"channels": _plain(channels)}})


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        found = {part.name: (getattr(value, part.name), part.default) for part in fields(value)}
        return {name: _plain(own) for name, (own, plain) in found.items() if plain is MISSING or own != plain}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
