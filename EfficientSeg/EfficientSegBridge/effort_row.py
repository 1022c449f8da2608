"""The Effort row: a slider that speaks patches, and minutes as soon as they were measured."""

from collections.abc import Callable

from EfficientSegBridge import efforts
from EfficientSegBridge.efforts import Reading
from EfficientSegBridge.translation import _
from EfficientSegLib.protocol import Pace


class EffortRow:
    """Shows an effort; which one is chosen is the parameter node's affair.

    Args:
        ui: the panel's widgets by name.
        onChosen: told the place on the slider that the user has chosen.
    """

    def __init__(self, ui, onChosen: Callable[[int], None]) -> None:
        self._ui = ui
        self._marks = (ui.coarseLabel, ui.fewLabel, ui.someLabel, ui.allLabel)
        ui.effortSlider.maximum = len(efforts.EFFORTS) - 1
        ui.effortSlider.connect("valueChanged(int)", onChosen)

    def show(self, place: int, pace: Pace | None, reading: Reading | None = None, morePace: Pace | None = None) -> None:
        """Show this place.

        Args:
            pace: of a run from the beginning, where one was measured.
            reading: how far the result is that More would go on from.
            morePace: of going on from it.
        """
        self._ui.effortSlider.value = place
        goesOn = reading is not None and efforts.nextPlace(place, reading) == place
        said = efforts.label(place, morePace, reading) if goesOn else efforts.label(place, pace)
        self._tell(said, efforts.tip(place, pace), [efforts.mark(mark, pace) for mark in efforts.MARKS])

    def showWithoutOrder(self, place: int) -> None:
        """A strategy that reads everything has no effort to choose."""
        self._ui.effortSlider.value = place
        tip = _("This model reads the whole volume at full detail, so there is no effort to choose.")
        self._tell(_("whole volume"), tip, [efforts.mark(mark, None) for mark in efforts.MARKS])

    def _tell(self, said: str, tip: str, marks: list[str]) -> None:
        self._ui.effortLabel.text = said
        self._ui.effortSlider.toolTip = tip
        self._ui.effortLabel.toolTip = tip
        for widget, mark in zip(self._marks, marks):
            widget.text = mark
