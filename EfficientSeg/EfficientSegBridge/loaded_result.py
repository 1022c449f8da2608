"""A result that was loaded with its scene, and what its record tells of how it was read, so that more can be added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from EfficientSegBridge.findings import Findings
from EfficientSegBridge.overlay import Overlay
from EfficientSegBridge.parameters import Parameters, Wishes
from EfficientSegBridge.scene_record import SceneRecord
from EfficientSegBridge.segment_parts import belongsTo
from EfficientSegLib.geometry import PatchBox, ScoredBox


@dataclass(frozen=True, eq=False)
class LoadedResult:
    """What a scene does not keep is what was read; the record says how to read the same again."""

    segmentation: object  # vtkMRMLSegmentationNode
    volumeNode: object
    findings: Findings
    patches: int | None  # asked for; None: all
    wishes: Wishes  # what was to be read first, and where at all
    precision: str  # in which the networks computed

    def again(self, parameters: Parameters) -> Parameters:
        """What has to be asked to read the same once more."""
        return Parameters(
            parameters.bundle,
            self.patches,
            parameters.strategy,
            parameters.device,
            parameters.threads,
            wishes=self.wishes,
        )

    def isSame(self, patches: tuple[ScoredBox, ...], read: int, precision: str) -> bool:
        """True if these are the patches of the record, read with numbers of the same kind: so that whatever differs
        from their labels now was changed by the user."""
        mine = {scored.box for scored in self.findings.patches[: self.findings.read]}
        return mine == {scored.box for scored in patches[:read]} and precision == self.precision

    def showOverlay(self, overlay: Overlay, parameters: Parameters) -> None:
        """Draw what the record tells, after a run that went on from it was undone."""
        found, volume = self.findings, self.volumeNode
        overlay.showPatches(found.patches, volume, parameters.showBoxes)
        overlay.showCoverage(found.patches[: found.read], volume, parameters.showCoverage)
        weights = {int(value): weight for value, weight in found.classWeights.items()}
        overlay.showClassWeights(weights, found.labels, volume)


def find(record: SceneRecord, volumeNode, parameters: Parameters) -> LoadedResult | None:
    """The result that this record describes, if it is the volume's, and the same model was asked in the same way."""
    node = record.segmentation
    if node is None or volumeNode is None or not parameters.hasOrder or not belongsTo(node, volumeNode):
        return None
    found, run, bundle = record.findings, record.run, parameters.bundle
    try:
        said, strategy = run["bundle"], run["strategy"]
        same = (said["name"], said["version"], said["weights_sha256"]) == (
            bundle.name,
            bundle.version,
            bundle.weights.sha256,
        )
        if not same or strategy["name"] != parameters.strategyName or found.bundle != bundle.name:
            return None
        # A run that was stopped has read the first of its patches, and these are asked for.
        patches = strategy["options"]["top_k"] if run["complete"] else found.read
        return LoadedResult(node, volumeNode, found, patches, _wishes(run["wishes"]), str(run["precision"]))
    except (KeyError, TypeError, ValueError):  # of a killed run, of another version, or damaged
        return None


def _wishes(content: Mapping[str, Any]) -> Wishes:
    return Wishes(
        first=tuple(_box(box) for box in content.get("first") or ()),
        structures=tuple(int(value) for value in content.get("structures") or ()),
        region=_box(content["region"]) if content.get("region") else None,
    )


def _box(content: Mapping[str, Any]) -> PatchBox:
    start, stop = (tuple(int(end) for end in content[name]) for name in ("start", "stop"))
    return PatchBox(start, stop)
