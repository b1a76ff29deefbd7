"""What writes a study's report is imported while its workers simulate: drawing takes a second or two to import."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TypeVar

Event = TypeVar("Event")


def importing_report(tell: Callable[[Event], None]) -> Callable[[Event], None]:
    """`tell`, which begins to import with what it is told first: whoever runs a study only waits from then on."""
    beside = threading.Thread(target=_import, daemon=True)

    def tell_and_import(event: Event) -> None:
        if beside.ident is None:
            beside.start()
        tell(event)

    return tell_and_import


def _import() -> None:
    # Whoever writes the report imports it again, and tells then what is amiss.
    with suppress(MemoryError, ImportError, SystemError):
        import_module("studies.study_report")
