"""What a part of the panel below its first rows is: a class and a `.ui` file of its own."""


class Section:
    """One part of the panel; told what happens, does nothing by itself.

    Args:
        ui: the panel's widgets by name, those of this section's file among them.
        logic: an EfficientSegLogic.
        panel: the Panel: `parameterNode`, `parameters()`, `say(text, level)`.
    """

    UI = ""  # file in Resources/UI whose root, a qMRMLWidget, is put into the panel's column; "": it has none

    def __init__(self, ui, logic, panel) -> None:
        self._ui, self._logic, self._panel = ui, logic, panel
        self._run = None

    def setParameterNode(self, node) -> None:
        """The scene's parameter node, or None while the scene is closed. Widgets with a SlicerParameterName are tied
        to it without this."""

    def setRun(self, run) -> None:
        """Another SegmentationRun is the latest one; None: there is none any more."""
        self._run = run
        self.refresh()

    def setSegmentation(self, node) -> None:
        """The segmentation that the parameter node names."""

    def refresh(self) -> None:
        """Show what there is now: called often, so compare before you write."""

    def cleanup(self) -> None:
        """The module is unloaded: stop timers, remove observers and shortcuts."""
        self._run = None
