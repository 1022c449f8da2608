"""The line under the progress bar, and the log under Advanced to which it leads."""

import html

from EfficientSegBridge import theme
from EfficientSegBridge.translation import _

LOG_LINES = 2000


class StatusLine:
    """Says one sentence at a time; what the worker says goes into the log.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui) -> None:
        self._ui = ui
        ui.logText.maximumBlockCount = LOG_LINES
        ui.statusLabel.connect("linkActivated(QString)", self._onLink)

    def say(self, text: str, level: str = "") -> None:
        """Say it; level "error" with a sign and a way to the log."""
        said = html.escape(text)
        if level == "error":
            said = f"{theme.mark('error')} {said} {theme.link('log', _('Details'))}"
        self._ui.statusLabel.text = said
        self._ui.statusLabel.setVisible(bool(text))

    def log(self, line: str) -> None:
        self._ui.logText.appendPlainText(line)

    def clearLog(self) -> None:
        self._ui.logText.setPlainText("")

    def _onLink(self, link: str) -> None:
        if link == "log":
            self._ui.advancedButton.collapsed = False
            self._ui.logButton.collapsed = False
