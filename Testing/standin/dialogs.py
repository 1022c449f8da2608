"""Dialogs of slicer.util: recorded and answered, never shown, so that no test waits for a click."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import slicer


@dataclass(frozen=True)
class Dialog:
    """One dialog that the user would have seen."""

    level: str  # "info", "warning", "error"; "popup" closes by itself
    text: str
    options: dict = field(default_factory=dict)  # the further arguments, such as windowTitle or detailedText


class DialogRecorder:
    """Stands before slicer.util's message functions: texts go to `dialogs`, answers come from `answers` in turn."""

    def __init__(self) -> None:
        self.dialogs: list[Dialog] = []
        self.answers: list[object] = []  # e.g. qt.QMessageBox.Yes; when empty, what Slicer returns in testing mode
        slicer.util._messageDisplay = self._message
        slicer.util.delayDisplay = self._popup
        slicer.util.messageBox = self._message_box

    def _message(self, logLevel, text, testingReturnValue, mainWindowNeeded=False, **options):
        logging.log(logLevel, text)
        self.dialogs.append(Dialog(logging.getLevelName(logLevel).lower(), text, options))
        return self.answers.pop(0) if self.answers else testingReturnValue

    def _message_box(self, text, parent=None, **options):
        import qt

        self.dialogs.append(Dialog("info", text, options))
        return self.answers.pop(0) if self.answers else qt.QMessageBox.Ok

    def _popup(self, message, autoCloseMsec=1000, parent=None, **options):
        logging.info(message)
        self.dialogs.append(Dialog("popup", message, options))
        slicer.app.processEvents()
