"""The statistics of a segmentation: measured in steps, kept as a table node in the scene."""

import math
from collections.abc import Generator

import slicer
import vtk

from EfficientSegBridge import nodes, segment_statistics, statistics_rows
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.segment_layers import labelValue, layers
from EfficientSegBridge.segment_statistics import LabelImage
from EfficientSegBridge.statistics_rows import Row
from EfficientSegBridge.translation import _

ROLE = "EfficientSeg.Statistics"  # node reference from the segmentation, and attribute of the table


def measured(segmentationNode, volumeNode, findings: Findings) -> Generator[None, None, list[Row]]:
    """Measure all segments, those of the user too, plane by plane; rows in the order of the segments.

    Raises:
        VolumeError: the segmentation lies on other voxels than the volume.
    """
    held = layers(segmentationNode, volumeNode)
    images = [LabelImage(layer.voxels, layer.box, layer.segments) for layer in held]
    voxelMl = math.prod(volumeNode.GetSpacing()) / 1000
    found = yield from segment_statistics.measured(images, slicer.util.arrayFromVolume(volumeNode))
    segmentation = segmentationNode.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    return [
        statistics_rows.row(
            segmentId,
            segmentation.GetSegment(segmentId).GetName(),
            found[segmentId],
            voxelMl,
            refinedShare(segmentationNode, segmentId, findings),
        )
        for segmentId in ids
        if segmentId in found
    ]


def refinedShare(segmentationNode, segmentId: str, findings: Findings) -> float | None:
    """The share of a segment's surface that was read at full detail; None where that is not known."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    value = labelValue(segment, findings.bundle) if segment is not None else None
    return statistics_rows.refinedShare(findings, value)


def tableNode(segmentationNode):
    """The table of this segmentation, or None."""
    node = segmentationNode.GetNodeReference(ROLE) if segmentationNode is not None else None
    return node if node is not None and node.IsA("vtkMRMLTableNode") else None


def writeTable(rows: list[Row], modality: str, segmentationNode, volumeNode):
    """Put the rows into the segmentation's table node, made where there is none; returns it."""
    node = tableNode(segmentationNode)
    if node is None:
        name = _("Statistics of {name}").format(name=segmentationNode.GetName())
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
        node.SetAttribute(ROLE, "1")
        segmentationNode.SetNodeReferenceID(ROLE, node.GetID())
        nodes.placeBeside(node, volumeNode)
    table = vtk.vtkTable()
    lines = [statistics_rows.cells(row) for row in rows]
    for column, title in enumerate(statistics_rows.titles(modality)):
        words = column in (0, 5)
        values = vtk.vtkStringArray() if words else vtk.vtkDoubleArray()
        values.SetName(title)
        for line in lines:
            cell = line[column]
            values.InsertNextValue(cell if words else math.nan if cell is None else float(cell))
        table.AddColumn(values)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(table)
    return node


def show(node) -> None:
    """Show a table node in a table view beside the present views."""
    layout = slicer.app.layoutManager()
    if layout is not None:
        layout.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layout.layout))
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(node.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()
