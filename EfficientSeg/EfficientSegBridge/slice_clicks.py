"""Clicks in slice views, without taking them from anybody: a press and a release at the same place."""

from collections.abc import Callable

import slicer

STILL = 3  # pixels that a mouse may move in a click; more is a drag, as for window and level
EARLY = 10.0  # priority: views abort events that they have used themselves


class SliceClicks:
    """Watches all slice views, those of later layouts too, between `begin` and `end`.

    Args:
        onClicked: told the place in the world, RAS millimetres, (3,).
    """

    def __init__(self, onClicked: Callable[[list[float]], None]) -> None:
        self._onClicked = onClicked
        self._observed: dict[str, list[tuple[object, int]]] = {}  # by view name
        self._pressed: tuple[str, tuple[int, int]] | None = None

    @property
    def watching(self) -> bool:
        return bool(self._observed)

    def begin(self) -> None:
        """Watch the views; a second call does nothing new."""
        layout = slicer.app.layoutManager()
        if layout is None:  # Slicer without a main window
            return
        if not self._observed:
            layout.connect("layoutChanged(int)", self._onLayout)
        for name in layout.sliceViewNames():
            if name not in self._observed:
                self._watch(name, layout.sliceWidget(name))

    def end(self) -> None:
        if not self._observed:
            return
        slicer.app.layoutManager().disconnect("layoutChanged(int)", self._onLayout)
        for observers in self._observed.values():
            for interactor, tag in observers:
                interactor.RemoveObserver(tag)
        self._observed = {}

    def _onLayout(self, _layout: int) -> None:
        self.begin()

    def _watch(self, name: str, widget) -> None:
        interactor, node = widget.sliceView().interactor(), widget.mrmlSliceNode()

        def pressed(caller, _event) -> None:
            self._pressed = (name, caller.GetEventPosition())

        def released(caller, _event) -> None:
            before, self._pressed = self._pressed, None
            here = caller.GetEventPosition()
            if before is None or before[0] != name or max(abs(a - b) for a, b in zip(before[1], here)) > STILL:
                return
            if not isPlacing():
                self._onClicked(list(node.GetXYToRAS().MultiplyPoint((*here, 0.0, 1.0))[:3]))

        self._observed[name] = [
            (interactor, interactor.AddObserver("LeftButtonPressEvent", pressed, EARLY)),
            (interactor, interactor.AddObserver("LeftButtonReleaseEvent", released, EARLY)),
        ]


def isPlacing() -> bool:
    """True while a click would place a point of a markup."""
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    return interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place
