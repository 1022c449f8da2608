"""Views of their own for two segmentations: axial above, coronal below, linked; the user's views stay as they are.

Everything else that is drawn keeps to the user's own views meanwhile, because A and B often have its very colours.

Slicer tells nobody that it is about to save a scene. So the layout and our views are kept out of scenes while they are
shown, and what had to be changed in display nodes is marked there, so that a scene that was saved meanwhile is mended
when it is loaded.
"""

import slicer

LAYOUT = 5701  # a number that neither Slicer's own layouts nor, as far as is known, other extensions use
GROUP = 57  # views of one group are linked with each other only
SIDES = ("A", "B")
ORIENTATIONS = ("Axial", "Coronal")
COLORS = {"A": "#3d8bfd", "B": "#c77700"}
MARK = "EfficientSeg.ComparisonViews"  # attribute of display nodes: "side" of A and B, "kept" of all others
KINDS = ("vtkMRMLSegmentationNode", "vtkMRMLModelNode")


def names(side: str) -> list[str]:
    """The slice views of A or B."""
    return [f"EfficientSeg{side}{number}" for number in range(1, len(ORIENTATIONS) + 1)]


class ComparisonViews:
    """Shows two segmentations, and brings the user's own layout back."""

    def __init__(self) -> None:
        self.shown = False
        self._before: int | None = None  # the user's own layout
        self._nodes: tuple = ()

    def show(self, volumeNode, one, other) -> None:
        """Show a volume twice, with a segmentation each."""
        manager = slicer.app.layoutManager()
        if manager is None:  # no main window: nothing to look at
            return
        self.back()
        self.shown, self._before = True, manager.layout
        layoutNode = manager.layoutLogic().GetLayoutNode()
        if not layoutNode.IsLayoutDescription(LAYOUT):
            layoutNode.AddLayoutDescription(LAYOUT, description())
        layoutNode.SetSaveWithScene(False)  # a scene that is saved now leaves whoever loads it his own layout
        manager.setLayout(LAYOUT)
        manager.connect("layoutChanged(int)", self._onLayout)
        self._nodes = (one, other)
        ours = {side: [_viewId(manager, name) for name in names(side)] for side in SIDES}
        self._keepOthersOut([view for views in ours.values() for view in views])
        for side, node in zip(SIDES, self._nodes):
            display = node.GetDisplayNode()
            display.SetAttribute(MARK, "side")
            display.SetVisibility(True)
            display.RemoveAllViewNodeIDs()
            for view in ours[side]:
                display.AddViewNodeID(view)
        for side in SIDES:
            for name, orientation in zip(names(side), ORIENTATIONS):
                _prepare(manager.sliceWidget(name), volumeNode, orientation)

    def back(self) -> None:
        """The layout of before; A and B stay in the scene, hidden."""
        self.release()
        manager = slicer.app.layoutManager()
        # Asked again, because a scene that closes leaves our layout for a moment, and then comes back to it.
        if manager is not None and self._before is not None and manager.layout == LAYOUT:
            manager.setLayout(self._before)

    def release(self) -> None:
        """Let everything be drawn everywhere again; the layout is left as it is."""
        if not self.shown:
            return
        self.shown = False
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.disconnect("layoutChanged(int)", self._onLayout)
            manager.layoutLogic().GetLayoutNode().SetSaveWithScene(True)
        self._nodes = ()
        mend()

    def _onLayout(self, layout: int) -> None:
        if layout != LAYOUT:  # the user has chosen another one
            self.release()

    def _keepOthersOut(self, ours: list[str]) -> None:
        """What is drawn everywhere is drawn in all other views; what has views of its own has none of ours."""
        views = [
            node.GetID()
            for kind in ("vtkMRMLSliceNode", "vtkMRMLViewNode")
            for node in slicer.util.getNodesByClass(kind)
            if node.GetID() not in ours
        ]
        for node in [node for kind in KINDS for node in slicer.util.getNodesByClass(kind)]:
            if node in self._nodes:
                continue
            for number in range(node.GetNumberOfDisplayNodes()):
                display = node.GetNthDisplayNode(number)
                if display is not None and display.GetNumberOfViewNodeIDs() == 0:
                    display.SetAttribute(MARK, "kept")
                    for view in views:
                        display.AddViewNodeID(view)


def mend() -> None:
    """Let everything be drawn everywhere again; A and B are hidden. Also of a scene that was saved meanwhile."""
    for display in slicer.util.getNodesByClass("vtkMRMLDisplayNode"):
        mark = display.GetAttribute(MARK)
        if mark:
            display.RemoveAttribute(MARK)
            display.RemoveAllViewNodeIDs()
            if mark == "side":
                display.SetVisibility(False)


def description() -> str:
    """The layout in Slicer's own form: two columns, A and B."""
    columns = "".join(f'<item><layout type="vertical">{_column(side)}</layout></item>' for side in SIDES)
    return f'<layout type="horizontal" split="true">{columns}</layout>'


def _column(side: str) -> str:
    said = ""
    for name, orientation in zip(names(side), ORIENTATIONS):
        said_of_it = {"orientation": orientation, "viewlabel": side, "viewcolor": COLORS[side], "viewgroup": GROUP}
        inner = "".join(f'<property name="{key}" action="default">{it}</property>' for key, it in said_of_it.items())
        said += f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">{inner}</view></item>'
    return said


def _viewId(manager, name: str) -> str:
    return manager.sliceWidget(name).mrmlSliceNode().GetID()


def _prepare(widget, volumeNode, orientation: str) -> None:
    composite = widget.sliceLogic().GetSliceCompositeNode()
    for node in (composite, widget.mrmlSliceNode()):
        node.SetSaveWithScene(False)  # nobody else knows these views
    composite.SetLinkedControl(False)  # else each step would be copied into the views that are not ready
    composite.SetBackgroundVolumeID(volumeNode.GetID())
    widget.mrmlSliceNode().SetOrientation(orientation)
    widget.sliceLogic().FitSliceToAll()
    composite.SetLinkedControl(True)
    composite.SetHotLinkedControl(True)
