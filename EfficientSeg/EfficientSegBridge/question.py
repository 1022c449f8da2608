"""What the panel asks for now: the parameter node in the terms of a run, and what is known about its cost."""

from EfficientSegBridge import device_choice, efforts, loaded_result, places
from EfficientSegBridge.bundles import Choice
from EfficientSegBridge.efforts import Reading
from EfficientSegBridge.loaded_result import LoadedResult
from EfficientSegBridge.model_row import ModelRow
from EfficientSegBridge.paces import Paces
from EfficientSegBridge.parameters import Parameters, Wishes
from EfficientSegBridge.scene_record import SceneRecord
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.protocol import Pace


class Question:
    """Reads the parameter node; it writes nothing.

    Args:
        logic: an EfficientSegLogic.
        model: the row that knows the bundles.
    """

    def __init__(self, logic, model: ModelRow) -> None:
        self._logic, self._model = logic, model
        self._paces = Paces()
        self._record = SceneRecord(None)
        self.node = None

    @property
    def choice(self) -> Choice | None:
        """The chosen bundle, usable or not."""
        return self._model.choice(self.node.bundle if self.node is not None else "")

    @property
    def bundle(self) -> Bundle | None:
        """The chosen bundle, if it can be used."""
        choice = self.choice
        return choice.bundle if self.node is not None and choice is not None else None

    @property
    def volume(self):
        """The chosen volume node, or None."""
        return self.node.volume if self.node is not None else None

    @property
    def hasOrder(self) -> bool:
        """False if the chosen model reads the whole volume, so that there is no effort to choose."""
        return self.bundle is None or self.parameters(wishes=False).hasOrder

    def parameters(self, wishes: bool = True) -> Parameters:
        """What is asked for now, of a model that is there and usable.

        Args:
            wishes: also where to look first and where at all.

        Raises:
            VolumeError: the region to which it is restricted is empty or lies outside the volume.
        """
        node, bundle = self.node, self.bundle
        leftOut = tuple(node.structuresLeftOut)
        kept = tuple(label.value for label in bundle.shown_labels if label.value not in leftOut)
        return Parameters(
            bundle=bundle,
            patches=efforts.EFFORTS[node.effort],
            strategy=None if node.strategy == "auto" else node.strategy,
            device=device_choice.resolve(node.device),
            threads=node.threads or None,
            segmentation=node.segmentation,
            showBoxes=node.showBoxes,
            showCoverage=node.showCoverage,
            showTokens=node.showTokens,
            shown=kept if leftOut else None,
            wishes=self._wishes() if wishes else Wishes(),
        )

    def _wishes(self) -> Wishes:
        node = self.node
        known = {label.value for label in self.bundle.shown_labels}
        return Wishes(
            structures=tuple(value for value in node.structuresFirst if value in known),
            region=places.roiBox(node.region, node.volume) if node.region is not None else None,
        )

    def reading(self) -> Reading | None:
        """How far the result is that More would go on from; None: there is none."""
        if self.bundle is None or self._logic.running:
            return None
        loaded = self.loaded()
        if loaded is not None:
            return Reading(loaded.findings.read, loaded.findings.candidates, "loaded")
        if not self._logic.chain.canAdd(self.node.volume, self.parameters(wishes=False)):
            return None
        result = self._logic.result
        return Reading(result.patchesRead, result.candidates, "worker" if self._isRemembered() else "lost")

    def loaded(self) -> LoadedResult | None:
        """The result that was loaded with the scene, where More would go on from that."""
        if self.bundle is None or self._logic.running:
            return None
        segmentation, result = self.node.segmentation, self._logic.result
        if segmentation is None or (result is not None and result.segments.node is segmentation):
            return None
        if self._record.segmentation is not segmentation:
            self._record = SceneRecord(segmentation)
        return loaded_result.find(self._record, self.node.volume, self.parameters(wishes=False))

    def _isRemembered(self) -> bool:
        """True if the worker still holds what it read for the result of this session."""
        worker, result = self._logic.worker, self._logic.result
        return worker is not None and result is not None and result.workerPid in worker.pids

    def morePace(self) -> Pace | None:
        """How long going on takes: as long as a fresh run where all has to be read again."""
        reading = self.reading()
        return self.pace(continues=reading is not None and reading.kept == "worker")

    def pace(self, continues: bool = False) -> Pace | None:
        """How long things take, where it was measured: of a run from the beginning, or of one that goes on."""
        if self.bundle is None:
            return None
        return self._paces.find(self.parameters(wishes=False), self.node.volume, continues)

    def paceOf(self, bundle: Bundle) -> Pace | None:
        """What a run of this bundle would take on the chosen volume, in the bundle's own way."""
        if self.node is None:
            return None
        asked = Parameters(bundle, device=device_choice.resolve(self.node.device), threads=self.node.threads or None)
        return self._paces.find(asked, self.node.volume)

    def rememberPace(self, parameters: Parameters, volumeNode, pace: Pace | None, continues: bool = False) -> None:
        """How long a run of this kind took on this volume; `pace` is None where it has measured nothing."""
        if pace is not None:
            self._paces.remember(parameters, volumeNode, pace, continues)

    def rememberRun(self, run) -> None:
        if run is not None:
            self.rememberPace(run.parameters, run.volumeNode, run.pace, run.continues)
