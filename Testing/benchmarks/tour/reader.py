"""What a radiologist does with the panel, click by click, and the waiting in between."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import qt
import slicer

from EfficientSegBridge import bundles, efforts, nodes, paces, sample_data, world
from EfficientSegLib.geometry import PatchBox

TESTING = Path(__file__).resolve().parents[2]
MAKE_TOKENS = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from transformer_bundle import STP, write_nmsw_bundle
write_nmsw_bundle(Path(sys.argv[2]), "stp_unetr", STP)
"""
PATIENCE = 600  # seconds for one step


class Reader:
    """Has the panel open.

    Args:
        application: the running stand-in.
    """

    def __init__(self, application) -> None:
        slicer.mrmlScene.Clear(0)
        qt.QSettings().setValue(paces.SETTING, "")  # a reader comes for the first time: nothing was timed yet
        self.widget = application.load_module(TESTING.parent / "EfficientSeg" / "EfficientSeg.py")
        self.ui, self.panel, self.logic = self.widget.ui, self.widget.panel, self.widget.logic

    def wait(self, happened: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Let the application work until `happened()`.

        Raises:
            TimeoutError: it did not; `what` says what was waited for.
        """
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"After {seconds:.0f} s: {what}.")
            slicer.app.processEvents()
            time.sleep(0.005)

    def load(self, name: str = sample_data.NAME):
        """Load the sample CT and show it, with a window for the abdomen."""
        volume = slicer.util.loadVolume(str(sample_data.FILE), {"name": name})
        volume.GetDisplayNode().SetAutoWindowLevel(False)
        volume.GetDisplayNode().SetWindowLevel(400, 40)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return volume

    def choose(self, volume, bundle: Path) -> None:
        self.panel.parameterNode.volume, self.panel.parameterNode.bundle = volume, str(bundle)
        self.panel._check()

    def effort(self, patches: int | None) -> None:
        self.ui.effortSlider.value = efforts.EFFORTS.index(patches)

    def ends(self) -> None:
        self.wait(lambda: not self.logic.running, "the run has not ended")
        if self.logic.run.state not in ("done", "stopped"):
            raise RuntimeError(f"The run ended as {self.logic.run.state}: {self.logic.run.text}")

    def place(self, button, *points) -> None:
        """Click a button of Refine here, then points of the world in a view."""
        button.click()
        logic = slicer.app.applicationLogic()
        node = slicer.mrmlScene.GetNodeByID(logic.GetSelectionNode().GetActivePlaceNodeID())
        for point in points:
            node.AddControlPointWorld(list(point))

    def placed(self) -> None:
        """Slicer leaves place mode after the click."""
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def clickInView(self, point, view: str) -> None:
        """Press and release the mouse at a point of the world in a slice view that shows it."""
        widget = slicer.app.layoutManager().sliceWidget(view)
        node, interactor = widget.mrmlSliceNode(), widget.sliceView().interactor()
        node.JumpSliceByOffsetting(*point)
        x, y = (np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())) @ [*point, 1.0])[:2]
        interactor.SetEventInformation(round(x), round(y), 0, 0, "\0", 0, None)
        interactor.InvokeEvent("LeftButtonPressEvent")
        interactor.InvokeEvent("LeftButtonReleaseEvent")

    def show(self, box: PatchBox) -> None:
        """Bring the middle of a box into the views."""
        world.jumpTo(self.panel.parameterNode.volume, box)

    def middle(self, box: PatchBox) -> np.ndarray:
        """The middle of a box in the world, RAS in mm, (3,)."""
        return world.toWorld(self.panel.parameterNode.volume, world.centre(box)[None])[0]

    def unreadPlace(self) -> np.ndarray:
        """The point nearest the volume's middle that no read patch has covered, RAS in mm, (3,)."""
        volume, run = self.panel.parameterNode.volume, self.logic.run
        covered = np.zeros(nodes.shape(volume), bool)
        for scored in run.patches[: run.patchesRead]:
            covered[scored.box.slices()] = True
        found = np.argwhere(~covered)
        nearest = found[np.abs(found - np.array(covered.shape) / 2).sum(axis=1).argmin()]
        return world.toWorld(volume, nearest[None].astype(float))[0]

    def isSaid(self, table) -> bool:
        """Whether a table has all its words: they come step by step."""
        places = ((row, column) for row in range(table.rowCount) for column in range(table.columnCount))
        cells = [item.text() for item in (table.item(*place) for place in places) if item is not None]
        return bool(cells) and "…" not in cells

    def drawRegion(self, box: PatchBox):
        """A ROI of the user's, around these voxels."""
        volume = self.panel.parameterNode.volume
        corners = world.toWorld(volume, np.array([box.start, box.stop], float) - 0.5)
        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Middle of the body")
        roi.CreateDefaultDisplayNodes()
        roi.GetDisplayNode().SetPropertiesLabelVisibility(False)
        roi.SetCenter(*corners.mean(axis=0))
        roi.SetSize(*np.abs(corners[1] - corners[0]))
        return roi


def makeTokenBundle(folder: Path) -> None:
    """Write a bundle whose network drops tokens; its weights are random. In another process: torch stays there.

    Raises:
        RuntimeError: it could not be made.
    """
    from EfficientSegBridge.interpreter import slicerPython

    python = slicerPython() or sys.executable
    made = subprocess.run([python, "-c", MAKE_TOKENS, str(TESTING), str(folder)], capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(made.stderr[-500:])
    bundles.add(folder)
