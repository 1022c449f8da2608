"""What of the scene a run cannot do without: it is told when its volume, its segmentation or the scene goes."""

import slicer
import vtk
from vtk.util.misc import calldata_type

from EfficientSegBridge.translation import _


class SceneWatch:
    """Abandons a run whose nodes are removed.

    Args:
        run: a SegmentationRun; only its `volumeNode`, `segments.node` and `abandon` are asked.
    """

    def __init__(self, run) -> None:
        self._run = run
        self._observed: list[tuple[object, int]] = []

    def begin(self) -> None:
        scene = slicer.mrmlScene

        @calldata_type(vtk.VTK_OBJECT)
        def removed(_scene, _event, node) -> None:
            if node is self._run.volumeNode:
                self._run.abandon(_("The volume was deleted; nothing was kept."))
            elif node is self._run.segments.node:
                self._run.abandon(_("The segmentation was deleted during the run."))

        def closing(*_arguments) -> None:
            self._run.abandon(_("The scene was closed."))

        self._observed = [
            (scene, scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, removed)),
            (scene, scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, closing)),
        ]

    def end(self) -> None:
        for observed, tag in self._observed:
            observed.RemoveObserver(tag)
        self._observed = []
