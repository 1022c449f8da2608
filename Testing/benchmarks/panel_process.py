"""What a run costs the application's own process: `python Testing/benchmarks/panel_process.py`.

Measures, never judges, on the stand-in, with a drawn volume of 512 x 512 x 400 and 20 labels: the whole panel, real
slice views rendered off screen, and a worker that is played. For each step: how long it takes until it is done; the
longest time in which the main thread could not answer (a timer without interval tells), by the clock and in the
thread's own computing time, which a busy machine does not stretch; and the same of drawing three views in a row, which
in Slicer are three events. At the end: memory on top of the volume.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "EfficientSeg"), str(ROOT / "Testing"), str(ROOT / "Testing" / "module")]

import standin  # noqa: E402

APPLICATION = standin.start()

import numpy as np  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402
from bench import makeBundle, makeVolume  # noqa: E402

from EfficientSegBridge import bundles, preflight  # noqa: E402
from EfficientSegBridge.torch_probe import TorchState  # noqa: E402
from EfficientSegLib.bundle import Label  # noqa: E402
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole  # noqa: E402
from EfficientSegLib.protocol import Finished, Pace, Partial, Patches, Started  # noqa: E402
from EfficientSegLib.resources import current_memory_mb, peak_memory_mb  # noqa: E402

SHAPE = (512, 512, 400)
LABELS = 20
BOXES = tuple(
    ScoredBox(PatchBox((i, j, 128), (i + 128, j + 128, 256)), 0.5, 1 + rank)
    for rank, (i, j) in enumerate(((64, 64), (192, 64), (320, 64), (64, 192), (192, 192), (320, 192)))
)


class PlayedWorker:
    """Stands where WorkerProcess does; the benchmark says what it says."""

    pids = frozenset({4711})
    running = busy = False

    def __init__(self) -> None:
        self.log, self.onLog, self.asked = [], None, 0

    def start(self, request, onEvent) -> None:
        self.request, self.say, self.asked = request, onEvent, self.asked + 1
        self.say(Started(4711, "cpu", 1))

    def cancel(self) -> None: ...

    def stop(self) -> None: ...

    def write(self, name: str, labels: np.ndarray) -> str:
        path = Path(self.request.output_dir) / name
        np.save(path, labels)
        return str(path)

    def partial(self, name: str, labels: np.ndarray, box: PatchBox, read: int) -> None:
        self.say(Partial(self.write(name, np.asfortranarray(labels)), box, read, len(BOXES)))

    def finished(self, labels: np.ndarray) -> None:
        path = self.write("labels.npy", labels)
        self.say(Finished(path, "", "", 60.0, 900.0, True, len(BOXES), len(BOXES), "run-1"))


class MainThread:
    """Lets the application work, and notes how long it could not answer."""

    def __init__(self) -> None:
        self._views = [slicer.app.layoutManager().sliceWidget(name).sliceView() for name in ("Red", "Yellow", "Green")]
        self._dirty = False
        self._watched: set[str] = set()
        self._longest = self._drawing = (0.0, 0.0)
        self._last = now()
        self._heartbeat = qt.QTimer()
        self._heartbeat.setInterval(0)
        self._heartbeat.timeout.connect(self._beat)
        self._heartbeat.start()
        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, lambda *_: self._watch())

    def _watch(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if node.GetID() not in self._watched:
                self._watched.add(node.GetID())
                node.AddObserver("ModifiedEvent", self._changed)
                node.AddObserver(node.DisplayModifiedEvent, self._changed)
        self._changed()

    def _changed(self, *_arguments) -> None:
        self._dirty = True

    def _beat(self) -> None:
        self._longest = longer(self._longest, self._last)
        if self._dirty:
            self._dirty, began = False, now()
            for view in self._views:
                view.forceRender()
            self._drawing = longer(self._drawing, began)
        self._last = now()

    def step(self, words: str, begin: Callable[[], object], done: Callable[[], bool] = lambda: True) -> None:
        """Begin something and let the application work until it is done and drawn."""
        self._longest = self._drawing = (0.0, 0.0)
        began, self._last = time.perf_counter(), now()
        begin()
        while not done() or self._dirty:
            slicer.app.processEvents()
        for _turn in range(3):
            slicer.app.processEvents()
        total = time.perf_counter() - began
        blocked, drawing = (f"{1000 * clock:5.0f}{1000 * own:6.0f} ms" for clock, own in (self._longest, self._drawing))
        print(f"{words:<42}{total:7.2f} s{blocked:>17}{drawing:>17}", flush=True)


def now() -> tuple[float, float]:
    """Seconds by the clock, and of this thread's own computing."""
    return time.perf_counter(), time.thread_time()


def longer(longest: tuple[float, float], since: tuple[float, float]) -> tuple[float, float]:
    """The longer, each for itself, of what was the longest and of what went by since."""
    return tuple(max(a, b - c) for a, b, c in zip(longest, now(), since))


def drawn_labels(shift: int = 0) -> np.ndarray:
    """Twenty blocks, label by label, as the worker hands them over: I fastest."""
    labels = np.zeros(SHAPE, np.uint8, order="F")
    for value in range(1, LABELS + 1):
        i, j = divmod(value - 1, 5)
        labels[100 + 70 * i + shift : 160 + 70 * i + shift, 80 + 70 * j : 140 + 70 * j, 40:360] = value
    return labels


def main() -> None:
    bundle = makeBundle(labels=[Label(v, f"Structure {v}", (v * 12, 255 - v * 12, 90)) for v in range(1, LABELS + 1)])
    array = np.random.default_rng(0).integers(-1000, 1000, SHAPE, dtype=np.int16)
    volume = makeVolume(shape=SHAPE, array=array)
    del array
    coarse, refined = drawn_labels(), drawn_labels(3)
    bundles.add(Path(bundle.folder))
    widget = APPLICATION.load_module(ROOT / "EfficientSeg" / "EfficientSeg.py")
    panel, logic, ui = widget.panel, widget.logic, widget.ui
    panel._probe.stop()
    panel._probe.state = TorchState("ok", "")
    worker = PlayedWorker()
    logic._makeWorker = lambda python: worker
    panel.setParameterNode(logic.getParameterNode())
    panel.parameterNode.volume, panel.parameterNode.bundle = volume, bundle.folder
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    thread = MainThread()
    thread.step("views drawn for the first time", thread._changed)
    before = current_memory_mb()

    def settled() -> bool:
        return not logic.run._steps.busy and not logic.run._showTimer.isActive()

    def has_surfaces() -> bool:
        return logic.run.segments.node.GetSegmentation().ContainsRepresentation("Closed surface")

    print(f"{'':<42}{'in all':>9}{'blocked, own':>17}{'drawing, own':>17}")
    thread.step(
        "look at volume, model, memory and disk", lambda: preflight.check(volume, bundle, TorchState("ok", ""), "cpu")
    )
    thread.step("click Segment: write the volume", ui.segmentButton.click, lambda: worker.asked == 1)
    worker.say(Patches(BOXES, 343))
    worker.partial("partial_0000.npy", coarse, whole(SHAPE), 0)
    thread.step("first labels, whole volume", lambda: None, settled)
    worker.say(Pace(4.0, 2.0, 343))
    for scored in BOXES:
        worker.partial(f"partial_{scored.rank:04d}.npy", refined[scored.box.slices()], scored.box, scored.rank)
        thread.step(f"labels of patch {scored.rank} (128 voxels a side)", lambda: None, settled)
    worker.finished(refined)
    thread.step("last labels, whole volume", lambda: None, lambda: not logic.running)
    thread.step("coarse in place of refined, first time", ui.blinkButton.click, lambda: logic.overlay.coarseIsShown)
    thread.step("refined again", ui.blinkButton.click)
    thread.step("coarse again", ui.blinkButton.click)
    thread.step("refined again", ui.blinkButton.click)
    thread.step("refined area shown", ui.showCoverageCheckBox.click)
    thread.step("Show 3D: surfaces of all structures", ui.show3DButton.click, has_surfaces)
    thread.step("click More: write the volume", ui.segmentButton.click, lambda: worker.asked == 2)
    worker.partial("partial_0000.npy", refined, whole(SHAPE), len(BOXES))
    thread.step("first labels of More", lambda: None, settled)
    worker.finished(coarse)
    thread.step("last labels of More, and their surfaces", lambda: None, lambda: not logic.running)
    thread.step("3D off", ui.show3DButton.click)
    thread.step("Undo", ui.undoButton.click)
    thread.step("Undo once more: nothing is left", ui.undoButton.click)
    print(f"memory on top of the volume: at its peak {peak_memory_mb() - before:.0f} MB")
    slicer.mrmlScene.Clear(0)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # views and Qt widgets take their time to go, and have nothing to save
