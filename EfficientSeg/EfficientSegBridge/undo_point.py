"""The undo of the scene and of the Segment Editor, where either is at work: told before a segmentation is written."""

import slicer


def save(segmentationNode) -> None:
    """Keep what the segmentation holds now, so that Slicer's own Undo leads back to it."""
    if slicer.mrmlScene.GetUndoFlag():
        slicer.mrmlScene.SaveStateForUndo()
    widget = getattr(slicer.modules, "SegmentEditorWidget", None)
    editor = getattr(widget, "editor", None)
    if editor is not None and editor.segmentationNode() is segmentationNode:
        editor.saveStateForUndo()
