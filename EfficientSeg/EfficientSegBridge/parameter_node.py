"""What the scene remembers of the panel; widgets of the .ui files are tied to it by name."""

from typing import Annotated, Optional

from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from EfficientSegBridge import efforts


@parameterNodeWrapper
class EfficientSegParameterNode:
    """What the scene remembers of the panel."""

    volume: vtkMRMLScalarVolumeNode
    segmentation: Optional[vtkMRMLSegmentationNode]  # noqa: UP045 (the wrapper knows Optional in every version)
    bundle: str = ""  # the bundle's folder; empty: the first that there is
    effort: Annotated[int, WithinRange(0, len(efforts.EFFORTS) - 1)] = efforts.USUAL
    strategy: Annotated[str, Choice(["auto", "nmsw", "sliding_window", "slices"])] = "auto"
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    threads: Annotated[int, WithinRange(0, 256)] = 0  # 0: all cores but one
    showBoxes: bool = True
    showCoverage: bool = False
    showTokens: bool = False
    region: Optional[vtkMRMLMarkupsROINode]  # noqa: UP045
    structuresFirst: list[int]  # label values
    structuresLeftOut: list[int]  # label values that become no segments
