"""A part of the panel that shows findings: those of the run under way, else those that the scene has on record."""

import slicer

from EfficientSegBridge import findings
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.scene_record import SceneRecord
from EfficientSegBridge.section import Section


class FindingsSection(Section):
    """Knows which segmentation is shown, its volume, its record and its findings."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._named = None  # the parameter node's segmentation
        self._record = SceneRecord(None)

    def setSegmentation(self, node) -> None:
        self._named = node
        self.refresh()

    def cleanup(self) -> None:
        super().cleanup()
        self._named = None
        self._record = SceneRecord(None)

    @property
    def isLive(self) -> bool:
        """True while a run is under way, and no longer at what the scene has on record."""
        return self.isLatest and self._run.running and not self._run.isRereading

    @property
    def isLatest(self) -> bool:
        """True if the run that this part was told of is the latest one."""
        return self._run is not None and self._run is self._logic.run

    def followRun(self) -> None:
        """Show the latest run's segmentation from now on, whatever the parameter node names."""
        if self.isLatest and self._run.state in ("running", "done", "stopped") and self._run.segments.started:
            self._named = self._run.segments.node

    @property
    def canGoOn(self) -> bool:
        """True if what is shown is a result of this session, to which more patches can be added."""
        result = self._logic.result
        return result is not None and result.segments.node is self.segmentation

    @property
    def segmentation(self):
        """The segmentation that is shown; None where there is none."""
        node = self._run.segments.node if self.isLive and self._run.segments.started else self._named
        return node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None

    @property
    def volume(self):
        """The volume of that segmentation, or of the run under way."""
        if self.isLive:
            return self._run.volumeNode
        node = self.segmentation
        return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) if node is not None else None

    @property
    def record(self) -> SceneRecord:
        """The record of the segmentation; an empty one where there is none."""
        node = self.segmentation
        if self._record.segmentation is not node:
            self._record = SceneRecord(node)
        return self._record

    @property
    def findings(self) -> Findings:
        return findings.ofRun(self._run) if self.isLive else self.record.findings

    @staticmethod
    def isOpen(widget) -> bool:
        """True if a widget is to be seen: its part is open, and so is the module."""
        window = slicer.util.mainWindow()
        return bool(widget.isVisibleTo(window) if window is not None else widget.visible)

    @property
    def version(self) -> object:
        """Another one whenever `findings`, `segmentation` or `volume` may be other ones."""
        run = self._run
        if self.isLive:
            state = (run.patches, run.patchesRead, run.reviewed, len(run.classWeights), run.segments.started)
            return ("run", id(run), *(id(part) if isinstance(part, tuple) else part for part in state))
        node = self.segmentation
        return ("record", node.GetID() if node is not None else "", self.record.version)
