"""Signals for those stand-ins that are plain Python objects, used as PythonQt's are."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .pythonqt.signals import arguments_taken


class Signal:
    """One signal of one object: `object.changed.connect(f)`. An exception in `f` is printed, not raised."""

    def __init__(self) -> None:
        self._receivers: list[Callable] = []

    def connect(self, receiver: Callable) -> bool:
        self._receivers.append(receiver)
        return True

    def disconnect(self, receiver: Callable | None = None) -> bool:
        kept = [] if receiver is None else [each for each in self._receivers if each != receiver]
        removed = len(kept) < len(self._receivers)
        self._receivers = kept
        return removed

    def emit(self, *values: object) -> None:
        for receiver in tuple(self._receivers):
            try:
                receiver(*values[: arguments_taken(receiver)])
            except Exception:
                sys.excepthook(*sys.exc_info())


class Emitter:
    """Base of a plain object with signals: `SIGNALS` gives the signatures, each becomes an attribute by its name."""

    SIGNALS: tuple[str, ...] = ()

    def __init__(self) -> None:
        for signature in self.SIGNALS:
            setattr(self, signature.split("(")[0], Signal())

    def connect(self, signature: str, receiver: Callable) -> bool:
        """`object.connect("changed(int)", f)`; False, and a line on stderr, if there is no such signal."""
        if signature not in self.SIGNALS:
            print(f"QObject::connect: No such signal {type(self).__name__}::{signature}", file=sys.stderr)
            return False
        return getattr(self, signature.split("(")[0]).connect(receiver)

    def disconnect(self, signature: str, receiver: Callable | None = None) -> bool:
        return signature in self.SIGNALS and getattr(self, signature.split("(")[0]).disconnect(receiver)
