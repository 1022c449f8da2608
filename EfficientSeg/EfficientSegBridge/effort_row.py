"""The Effort row: a slider that speaks patches, and time as soon as it was measured."""

from collections.abc import Callable

from EfficientSegBridge import words


class EffortRow:
    """Shows an effort; which one is chosen is the parameter node's affair.

    Args:
        ui: the panel's widgets by name.
        onChosen: told the place on the slider that the user has chosen.
    """

    def __init__(self, ui, onChosen: Callable[[int], None]) -> None:
        self._ui = ui
        self._paces: dict[tuple, words.Pace] = {}
        ui.effortSlider.maximum = len(words.EFFORTS) - 1
        ui.effortSlider.connect("valueChanged(int)", onChosen)

    def show(self, place: int, key: tuple) -> None:
        """Show this place; `key` names volume, bundle and device, on which the time depends."""
        patches, pace = words.EFFORTS[place], self._paces.get(key)
        tip = words.effortTip(patches, pace)
        self._ui.effortSlider.value = place
        self._ui.effortLabel.text = words.effort(patches, pace)
        self._ui.effortSlider.toolTip = tip
        self._ui.effortLabel.toolTip = tip

    def remember(self, key: tuple, pace: words.Pace) -> None:
        """A run has measured how long things take."""
        self._paces[key] = pace

    def forget(self) -> None:
        """The volumes are gone."""
        self._paces.clear()
