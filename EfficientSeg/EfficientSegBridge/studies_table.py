"""The results of many studies as a table node, which is saved with the scene."""

from collections.abc import Sequence

import slicer
import vtk

from EfficientSegBridge.translation import _
from EfficientSegLib.studies import results
from EfficientSegLib.studies.case import Entry

ATTRIBUTE = "EfficientSeg.Studies"  # marks the node, whatever the user calls it


def find():
    """The table of the scene; None where there is none."""
    for node in slicer.util.getNodesByClass("vtkMRMLTableNode"):
        if node.GetAttribute(ATTRIBUTE):
            return node
    return None


def show(entries: Sequence[Entry]):
    """Write the results into the table; a new one is made where there is none.

    Returns:
        The node, or None where nothing has ended and there is none.
    """
    ended = [entry for entry in entries if entry.state in ("done", "stopped", "failed")]
    node = find()
    if node is None:
        if not ended:
            return None
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _("Results of many studies"))
        node.SetAttribute(ATTRIBUTE, "1")
        node.SetUseColumnTitleAsColumnHeader(True)
    structures = results.structures(ended)
    rows = [results.row(entry, structures) for entry in ended]
    modifying = node.StartModify()
    node.RemoveAllColumns()
    for number, name in enumerate(results.header(structures)):
        column = vtk.vtkStringArray()
        column.SetName(name)
        for row in rows:
            column.InsertNextValue(row[number])
        node.AddColumn(column)
    node.EndModify(modifying)
    return node
