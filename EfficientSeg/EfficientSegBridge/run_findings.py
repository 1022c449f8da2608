"""What the worker has told of one run so far, and the overlay that is drawn from it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from EfficientSegBridge import tokens, words
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Parameters
from EfficientSegLib.geometry import ScoredBox
from EfficientSegLib.protocol import ClassWeights, Event, Failed, Pace, Patches, Reviewed, Started, Tokens


class RunFindings:
    """What a SegmentationRun learns; it does nothing but draw.

    Args:
        volumeNode: what is segmented.
        parameters: how.
        overlay: takes boxes, class weights and the like.
        earlier: the run that this one goes on from.
    """

    def __init__(
        self, volumeNode, parameters: Parameters, overlay: Overlay, earlier: "RunFindings | None" = None
    ) -> None:
        self.volumeNode, self.parameters = volumeNode, parameters
        self.text = ""  # how it ended
        self.failure: Failed | None = None
        self.device = ""
        self.precision = ""
        self.workerPid = 0
        self.classWeights: dict[int, float] = {}
        self.voxels: dict[int, int] = {}  # found, by label value
        self.pace: Pace | None = None
        self.patchesSaid = ""  # how much of the volume is read at full detail
        self.record: dict = {}  # the worker's run record
        self.patches: tuple[ScoredBox, ...] = ()  # in the order of reading
        self.patchesRead = 0  # of `patches`, from the first on
        self.candidates = earlier.candidates if earlier else 0  # patches that could be read
        self.runId = ""  # names what the worker keeps of this run
        self.reviewed: Reviewed | None = None  # what the patches changed; None until the worker has said it
        # Before any patch, (I, J, K); None where there is no such thing.
        self.coarseLabels: np.ndarray | None = earlier.coarseLabels if earlier else None
        self.tokenMap: tokens.TokenMap | None = earlier.tokenMap if earlier else None  # of a network that drops some
        self._overlay = overlay

    def showOverlay(self) -> None:
        """Draw what this run looked at; again after a later run was undone."""
        if self.patches:
            self._overlay.showPatches(self.patches, self.volumeNode, self.parameters.showBoxes)
        self._showCoverage()
        if self.classWeights:
            self._overlay.showClassWeights(self.classWeights, self.parameters.bundle.shown_labels, self.volumeNode)
        self._showTokens()

    def _showCoverage(self) -> None:
        read = self.patches[: self.patchesRead]
        self._overlay.showCoverage(read, self.volumeNode, self.parameters.showCoverage)

    def _showTokens(self) -> None:
        if self.tokenMap is not None:
            self._overlay.showTokens(self.tokenMap, self.volumeNode, self.parameters.showTokens)

    def _learn(self, event: Event) -> None:
        if isinstance(event, Started):
            self.device, self.precision, self.workerPid = event.device, event.precision, event.pid
        elif isinstance(event, Patches):
            self.patches, self.candidates = event.boxes, event.candidates
            self.patchesSaid = words.patches(len(event.boxes), event.candidates)
            self.showOverlay()
        elif isinstance(event, ClassWeights):
            self.classWeights = {int(value): float(weight) for value, weight in event.weights.items()}
            self.showOverlay()
        elif isinstance(event, Pace):
            self.pace = event
            self.candidates = event.candidates or self.candidates
        elif isinstance(event, Reviewed):
            self.reviewed = event

    def _learnTokens(self, event: Tokens) -> Iterator[None]:
        found = yield from tokens.reading(event.depths, event.stages)
        self.tokenMap = found if found.depths.any() else None  # only the overview was used
        Path(event.depths).unlink(missing_ok=True)
        self._showTokens()
