"""The line below the volume: the worst finding, and the whole list behind a link."""

from collections.abc import Callable, Sequence

import qt

from EfficientSegBridge import theme
from EfficientSegBridge.preflight import Finding, summary

WAIT_MS = 300  # changes within this time are looked at once


class PreflightLine:
    """Shows findings, and asks for new ones soon after something has changed.

    Args:
        ui: the panel's widgets by name.
        check: looks again and calls `show`.
        onAction: told which finding's link was clicked.
    """

    def __init__(self, ui, check: Callable[[], None], onAction: Callable[[str], None]) -> None:
        self._ui, self._onAction = ui, onAction
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(check)
        ui.preflightLabel.connect("linkActivated(QString)", self._onLink)
        ui.preflightDetails.connect("linkActivated(QString)", self._onLink)

    def soon(self) -> None:
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def show(self, findings: Sequence[Finding]) -> None:
        """The worst is said in the line, all of them in the list."""
        self._ui.preflightLabel.text = theme.line(summary(findings), more=True)
        self._ui.preflightDetails.text = "<br>".join(theme.line(finding) for finding in findings)

    def _onLink(self, link: str) -> None:
        if link == "more":
            self._ui.preflightDetails.setVisible(self._ui.preflightDetails.isHidden())
        else:
            self._onAction(link)
