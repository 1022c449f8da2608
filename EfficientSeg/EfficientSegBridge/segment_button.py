"""The one primary button: Segment, or More where there is a result that can be gone on from."""

import html

import qt

from EfficientSegBridge import efforts
from EfficientSegBridge.efforts import Reading
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Pace


class SegmentButton:
    """Says what a click would do.

    Args:
        ui: the panel's widgets by name.
    """

    def __init__(self, ui) -> None:
        self._button = ui.segmentButton
        self._usual = self._button.text, self._button.toolTip
        self._shown = self._usual
        self.goal: int | None = None  # the place of the effort slider to which More goes; None: it is Segment

    def show(self, enabled: bool, place: int, reading: Reading | None, pace: Pace | None) -> None:
        """Show what can be done.

        Args:
            place: of the effort slider.
            reading: how far the result is; None: there is none to go on from.
            pace: of going on.
        """
        self.goal = efforts.nextPlace(place, reading) if reading is not None else None
        wanted = self._usual
        if self.goal is not None:
            tip = html.escape(efforts.moreTip(self.goal, reading, pace))
            wanted = _("More"), f"<qt>{tip}</qt>"
        if wanted != self._shown:
            self._shown = wanted
            self._button.text, self._button.toolTip = wanted
            self._button.setShortcut(qt.QKeySequence("Alt+S"))  # "More" has no free letter, and the hand stays there
        self._button.enabled = enabled
