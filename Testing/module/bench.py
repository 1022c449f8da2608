"""What several test files need: volumes that lie in every way, bundles without weights, a worker that is played."""

import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk

from EfficientSegBridge.interpreter import Command
from EfficientSegBridge.torch_probe import TorchProbe
from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights
from EfficientSegLib.environment import worker_environment

SHAPE = (12, 10, 8)  # I, J, K


def rotation(degrees: float) -> np.ndarray:
    """A turn about an axis that is none of the scanner's."""
    turn = vtk.vtkTransform()
    turn.RotateWXYZ(degrees, 1, 2, 3)
    return slicer.util.arrayFromVTKMatrix(turn.GetMatrix())[:3, :3]


GEOMETRIES = {
    "axial": np.diag([-0.8, -0.8, 1.5]),
    "oblique": rotation(25) @ np.diag([0.7, 0.9, 2.0]),
    "left-handed": rotation(10) @ np.diag([0.7, 0.9, -2.0]),
    "flipped": np.diag([0.8, -0.8, -1.5])[:, [1, 2, 0]],
}


def makeVolume(axes=None, shape=SHAPE, name="CT", array=None):
    """A volume node with values that tell every voxel from every other, at `axes` (columns: I, J, K in RAS, mm)."""
    if array is None:
        array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 300
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag([-1.0, -1.0, 1.0]) if axes is None else axes
    matrix[:3, 3] = (11.5, -7.25, 30.125)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array.T))
    node.CreateDefaultDisplayNodes()
    return node


_FOLDERS: list[tempfile.TemporaryDirectory] = []  # removed when Python ends


def makeFolder() -> Path:
    """A new empty folder in the application's temporary one."""
    _FOLDERS.append(tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath, ignore_cleanup_errors=True))
    return Path(_FOLDERS[-1].name)


def makeBundle(folder=None, labels=None) -> Bundle:
    """A bundle with a manifest and a file in the place of weights."""
    folder = Path(folder or makeFolder()) / "played"
    bundle = Bundle(
        1,
        "played",
        "1.0.0",
        "Played bundle",
        "CT",
        ("CT",),
        labels
        or (
            Label(1, "Liver", (221, 130, 101), "SCT:10200004"),
            Label(2, "Left kidney", (185, 102, 83), "SCT:64033007", "SCT:7771000"),
            Label(3, "Spleen", (157, 108, 162), "SCT:78961009"),
        ),
        Preprocess("RAS", (1.0, 1.0, 1.0), Intensity("window", -100, 100)),
        Component("nmsw"),
        Component("nmsw"),
        Weights("weights.pt", "0" * 64),
        Licence("CC0-1.0", "none", "tests only"),
    )
    bundles.save(bundle, folder)
    (folder / "weights.pt").write_bytes(b"none")
    return bundles.load(folder)


def labelsOf(node, segmentId, volumeNode) -> np.ndarray:
    """The voxels of a segment on the volume's grid, (I, J, K), as Slicer itself resolves them."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segmentId, volumeNode).T > 0


def segmentNames(node) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index).GetName() for index in range(segmentation.GetNumberOfSegments())]


def waitUntil(happened, seconds: float = 20) -> bool:
    """Let the application work until `happened()`; False when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        if happened():
            return True
        time.sleep(0.005)
    return bool(happened())


def requireTorch() -> None:
    """For tests with the real worker: skip them, and say so, where PyTorch does not work in Slicer's Python."""
    found = []
    TorchProbe(found.append).ask()
    waitUntil(lambda: found, 120)
    if not found or found[0].state != "ok":
        raise unittest.SkipTest(f"PyTorch does not work in Slicer's Python: {found}")


# A worker in ten lines: it says what the file named by its argument tells it to, in which a line may be a Python
# statement behind "!".
PLAYER = """
import json, os, sys, time, pathlib
def say(event, **fields):
    print("@EfficientSeg " + json.dumps({"event": event, **fields}), flush=True)
script = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
exec(compile(script, sys.argv[1], "exec"))
"""

# The usual beginning: ready, then one request at a time; `play(request)` is what the test gives.
USUAL = """
import numpy as np
def partial(request, name, labels, start, read, total):
    path = os.path.join(request["output_dir"], name)
    np.save(path, labels)
    stop = [a + n for a, n in zip(start, labels.shape)]
    say("Partial", labels=path, box={"start": start, "stop": stop}, patches_read=read, patches_total=total)
def finished(request, labels, complete=True, read=2, total=2):
    path = os.path.join(request["output_dir"], "labels.npy")
    np.save(path, labels)
    say("Finished", labels=path, segmentation="", record="", seconds=1.5, peak_memory_mb=100.0, complete=complete,
        patches_read=read, patches_total=total)
def stopped(request):
    return os.path.exists(request["cancel_file"])
%s
say("Ready", pid=os.getpid(), version="0")
for line in sys.stdin:
    request = json.loads(line)
    if request.get("shutdown"):
        break
    say("Started", pid=os.getpid(), device="cpu", threads=1)
    play(request)
"""


def played(script: str) -> Command:
    """The command of a worker that runs this script (functions `say`; modules json, os, sys, time)."""
    folder = makeFolder()
    (folder / "player.py").write_text(PLAYER, encoding="utf-8")
    (folder / "script.py").write_text(script, encoding="utf-8")
    return Command(python(), (str(folder / "player.py"), str(folder / "script.py")), worker_environment(os.environ))


def playing(play: str) -> Command:
    """The command of a worker with the usual beginning and this `def play(request):`."""
    return played(USUAL % play)


def python() -> str:
    from EfficientSegBridge.interpreter import slicerPython

    return slicerPython() or sys.executable
