"""What a worker process says of runs once: a search of hundreds of calls meets the same reason in each of them."""

from __future__ import annotations

import logging

# Says which of a call's runs another engine took, and why: the reason is the last argument.
_SIMULATION = "g2g_opt.simulation"


class ToldOnce(logging.Filter):
    """Lets the first record of a message and a reason pass, whatever its counts."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was told before."""
        reason = record.args[-1] if isinstance(record.args, tuple) and record.args else ""
        key = record.msg, str(reason)
        is_new = key not in self._told
        self._told.add(key)
        return is_new


def tell_reasons_once() -> None:
    """From now on in this process."""
    logging.getLogger(_SIMULATION).addFilter(ToldOnce())
