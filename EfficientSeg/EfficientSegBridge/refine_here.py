"""Refine here: a click in a view or a drawn box, by Slicer's own place mode, becomes a place to be read next."""

from collections.abc import Callable

import qt
import slicer

from EfficientSegBridge import overlay_nodes, places
from EfficientSegBridge.translation import _
from EfficientSegLib.geometry import PatchBox

CLASSES = {"point": "vtkMRMLMarkupsFiducialNode", "box": "vtkMRMLMarkupsROINode"}
COLOR = (1.0, 0.55, 0.2)


class RefineHere:
    """Lets the user point at one place; the markups node that place mode needs is gone afterwards.

    Args:
        ui: the panel's widgets by name.
        volume: gives the volume node that is meant.
        onPlace: told the box of voxels.
        saying: a context in which errors are said to the user.
        say: says a text.
    """

    def __init__(self, ui, volume: Callable[[], object], onPlace: Callable[[PatchBox], None], saying, say) -> None:
        self._buttons = {"point": ui.refineHereButton, "box": ui.refineBoxButton}
        self._usualTips = {kind: button.toolTip for kind, button in self._buttons.items()}
        self._volume, self._onPlace, self._saying, self._say = volume, onPlace, saying, say
        self._kind = ""
        self._node = None
        self._interaction = None
        self._tag = None
        self._settling = qt.QTimer()
        self._settling.setSingleShot(True)
        self._settling.setInterval(0)
        self._settling.timeout.connect(self._settle)
        ui.refineHereButton.connect("toggled(bool)", lambda on: self._onToggled("point", on))
        ui.refineBoxButton.connect("toggled(bool)", lambda on: self._onToggled("box", on))

    @property
    def placing(self) -> bool:
        return self._node is not None

    def enable(self, possible: bool, why: str = "") -> None:
        """Whether places can be read next; `why` not is said in the tool tips."""
        for kind, button in self._buttons.items():
            button.enabled = possible
            tip = why or self._usualTips[kind]
            if button.toolTip != tip:
                button.toolTip = tip
        if not possible:
            self.cancel()

    def cancel(self) -> None:
        """Leave place mode without a place."""
        node, self._node = self._node, None
        self._settling.stop()
        if self._interaction is not None:
            self._interaction.RemoveObserver(self._tag)
            if self._interaction.GetCurrentInteractionMode() == self._interaction.Place:
                self._interaction.SetCurrentInteractionMode(self._interaction.ViewTransform)
            self._interaction = None
        if node is not None and slicer.mrmlScene.IsNodePresent(node):
            slicer.mrmlScene.RemoveNode(node)
        for button in self._buttons.values():
            blocked = button.blockSignals(True)
            button.checked = False
            button.blockSignals(blocked)

    def _onToggled(self, kind: str, on: bool) -> None:
        self.cancel()
        if on:
            button = self._buttons[kind]
            blocked = button.blockSignals(True)
            button.checked = True
            button.blockSignals(blocked)
            self._begin(kind)

    def _begin(self, kind: str) -> None:
        node = overlay_nodes.addNode(CLASSES[kind], _("Refine here"), hidden=True)
        node.SetSaveWithScene(False)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSelectedColor(*COLOR)
        display.SetColor(*COLOR)
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        self._kind, self._node = kind, node
        logic = slicer.app.applicationLogic()
        selection, self._interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
        selection.SetReferenceActivePlaceNodeClassName(CLASSES[kind])
        selection.SetActivePlaceNodeID(node.GetID())
        self._interaction.SetPlaceModePersistence(0)  # one place, then the mouse is as it was
        self._interaction.SetCurrentInteractionMode(self._interaction.Place)
        self._tag = self._interaction.AddObserver(self._interaction.InteractionModeChangedEvent, self._onMode)
        self._say(
            _("Click a place in a view; Esc leaves it.")
            if kind == "point"
            else _("Click two opposite corners of a box in a slice view; Esc leaves it.")
        )

    def _onMode(self, *_arguments) -> None:
        if self._interaction is not None and self._interaction.GetCurrentInteractionMode() != self._interaction.Place:
            self._settling.start()  # nodes are not removed from within their own events

    def _settle(self) -> None:
        """Place mode has ended: with a place, or by Esc without one."""
        node, kind = self._node, self._kind
        volume, pointed = self._volume(), node is not None and bool(node.GetNumberOfDefinedControlPoints())
        box = None
        with self._saying():
            if pointed and volume is not None and kind == "point":
                box = places.pointBox(node.GetNthControlPointPositionWorld(0), volume)
            elif pointed and volume is not None:
                box = places.roiBox(node, volume)
        self.cancel()
        if box is not None:
            self._onPlace(box)
        elif node is not None and not pointed:
            self._say("")
