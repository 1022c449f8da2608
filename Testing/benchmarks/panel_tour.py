"""A tour of the panel in pictures: `python Testing/benchmarks/panel_tour.py [--to FOLDER]`.

Goes through the panel in the stand-in as a radiologist would, with the worker, the shipped demo model and the shipped
sample CT, and writes what is seen with a README into Testing/benchmarks/results/tour. Takes some minutes.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "EfficientSeg"), str(ROOT / "Testing")]

import standin  # noqa: E402

APPLICATION = standin.start()

import numpy as np  # noqa: E402
import qt  # noqa: E402
import slicer  # noqa: E402
from benchmarks.tour import camera, words  # noqa: E402
from benchmarks.tour.camera import Camera, below, beside  # noqa: E402
from benchmarks.tour.reader import Reader, makeTokenBundle  # noqa: E402

from EfficientSegBridge import bundles, comparison_views, efforts, nodes, run_folder  # noqa: E402
from EfficientSegBridge.setup_section import SetUpSection  # noqa: E402
from EfficientSegBridge.torch_probe import TorchState  # noqa: E402
from EfficientSegLib.geometry import PatchBox  # noqa: E402

RESULTS = ROOT / "Testing" / "benchmarks" / "results" / "tour"
FEW = 4  # patches read when the first run is stopped


class Tour:
    """One walk through the panel.

    Args:
        folder: where pictures go.
        bundle: the model that segments.
    """

    # In the order in which they build on each other.
    STOPS = (
        "live",
        "refined",
        "effort",
        "refineHere",
        "why",
        "review",
        "numbers",
        "models",
        "compare",
        "studies",
        "setUp",
        "dark",
        "tokens",
    )

    def __init__(self, folder: Path, bundle: Path = bundles.SHIPPED / bundles.DEMO) -> None:
        self._folder, self._bundle = folder, bundle
        self._reader = Reader(APPLICATION)
        self._ui, self._logic = self._reader.ui, self._reader.logic
        self._camera = Camera(APPLICATION, self._reader.widget, self._reader.wait)
        self.made: dict[str, int] = {}  # picture to its number of colours

    def walk(self, stops: tuple[str, ...] = STOPS) -> None:
        """These stops, each of which needs the first; everything is put back at the end."""
        before = qt.QSettings().value(bundles.SETTING) or ""
        try:
            self._choose()
            for stop in stops:
                getattr(self, stop)()
        finally:
            self._logic.stop()
            qt.QSettings().setValue(bundles.SETTING, before)
            APPLICATION.unload_module("EfficientSeg")

    def _keep(self, name: str, image) -> None:
        self.made[name] = camera.save(image, self._folder / f"{name}.png")

    def _choose(self) -> None:
        reader = self._reader
        reader.panel.probe()
        reader.wait(lambda: reader.panel.torchState.state != "unknown", "nothing was heard of PyTorch")
        self._volume = reader.load()
        reader.choose(self._volume, self._bundle)
        self._untimed = self._camera.top()

    def live(self) -> None:
        """The overview's labels in the views while the first patches are read; then some patches, then Stop."""
        reader = self._reader
        reader.effort(20)
        self._camera.open()
        self._camera.warmUp()
        self._ui.segmentButton.click()
        run = self._logic.run
        reader.wait(lambda: run.segments.started, "no coarse labels came")
        coarse = self._camera.views("Red", "Green")  # nothing is heard of the worker meanwhile
        early = self._camera.top()
        reader.wait(lambda: run.patchesRead >= FEW or not self._logic.running, "no patches came")
        self._ui.stopButton.click()
        later = self._camera.views("Red", "Green")
        self._keep("01-live", beside(coarse, later, below(early, self._camera.top())))
        reader.ends()

    def refined(self) -> None:
        """Boxes, the refined area, and coarse in the place of refined."""
        camera_, reader = self._camera, self._reader
        self._ui.showCoverageCheckBox.click()
        refined = camera_.views("Red", "Green")
        self._ui.blinkButton.click()
        reader.wait(lambda: self._logic.overlay.coarseIsShown, "the coarse labels are not shown")
        coarse = camera_.views("Red", "Green")
        self._ui.blinkButton.click()
        self._ui.showCoverageCheckBox.click()
        self._keep("02-coarse-and-refined", beside(coarse, refined))

    def effort(self) -> None:
        """What the slider says before and after the first run; Stop keeps, More goes on, Undo goes back."""
        self._reader.effort(20)
        stopped = self._camera.top()
        self._ui.segmentButton.click()
        self._reader.ends()
        self._keep("03-effort", beside(self._untimed, stopped, self._camera.top()))
        self._ui.undoButton.click()

    def refineHere(self) -> None:
        """A click in a view, structures first, a region."""
        reader, ui, point = self._reader, self._ui, self._reader.unreadPlace()
        read = self._logic.run.patchesRead
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            node.JumpSliceByOffsetting(*point)
        reader.place(ui.refineHereButton, point)
        placing = below(self._camera.top(), self._camera.views("Red", size=(camera.PANEL_PIXELS, 250)))
        reader.placed()
        reader.wait(lambda: self._logic.running or self._logic.run.patchesRead > read, "the click began no run")
        reader.ends()
        refined = below(self._camera.top(), self._camera.views("Red", size=(camera.PANEL_PIXELS, 250)))
        shape = np.array(nodes.shape(self._volume))
        region = PatchBox(tuple(shape // 4), tuple(3 * shape // 4))
        ui.regionSelector.setCurrentNode(reader.drawRegion(region))
        table = ui.structuresTable
        for row in (2, 3):
            table.item(row, 1).setCheckState(qt.Qt.CheckState.Checked)
        reader.show(region)
        advanced = self._camera.part("advancedButton")
        views = self._camera.views("Red", size=(camera.PANEL_PIXELS, 250))
        self._keep("04-refine-here", beside(placing, refined, below(advanced, views)))
        slicer.mrmlScene.RemoveNode(ui.regionSelector.currentNode())
        for row in (2, 3):
            table.item(row, 1).setCheckState(qt.Qt.CheckState.Unchecked)

    def why(self) -> None:
        """A click in a view selects the row and lights the box."""
        ui, reader = self._ui, self._reader
        self._camera.open("whyButton")
        reader.wait(lambda: reader.isSaid(ui.patchesTable), "… instead of places")
        box = self._logic.run.patches[1].box
        reader.show(box)
        reader.clickInView(reader.middle(box), "Red")
        part = self._camera.part("whyButton")
        self._keep("05-why", beside(part, self._camera.views("Red", "Green")))

    def review(self) -> None:
        """The list, a place accepted, the next one looked at."""
        ui, reader = self._ui, self._reader
        self._camera.open("reviewButton")
        reader.wait(lambda: reader.isSaid(ui.reviewTable), "… instead of places")
        ui.reviewNextButton.click()
        ui.acceptButton.click()
        part = self._camera.part("reviewButton")
        self._keep("06-review", beside(part, self._camera.views("Red", "Green")))

    def numbers(self) -> None:
        """Statistics, class weights as a chart."""
        ui, reader = self._ui, self._reader
        self._camera.open("resultButton")
        reader.wait(lambda: reader.isSaid(ui.statisticsTable), "… instead of numbers")
        ui.show3DButton.click()
        segmentation = self._logic.run.segments.node.GetSegmentation()
        reader.wait(lambda: segmentation.ContainsRepresentation("Closed surface"), "no surfaces were made")
        result = self._camera.part("resultButton")
        self._keep("07-numbers", beside(result, below(self._chart(), self._camera.views("3D", size=(470, 300)))))

    def _chart(self):
        """The chart node of the class weights as a plot view draws it."""
        view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
        view.SetPlotChartNodeID(self._logic.overlay.chartNode.GetID())
        plot = slicer.qMRMLPlotView()
        plot.setMRMLPlotViewNode(view)
        plot.resize(470, 220)
        image = plot.grab().toImage()
        slicer.mrmlScene.RemoveNode(view)
        return image

    def models(self) -> None:
        """The browser behind the model's row."""
        self._ui.browseButton.click()
        browser = self._reader.panel._browser
        self._keep("08-models", self._camera.window(browser.dialog, (720, 430)))
        browser.dialog.close()

    def compare(self) -> None:
        """Overview only against ten patches, side by side."""
        ui, comparison = self._ui, self._logic.comparison
        self._camera.open("compareSectionButton")
        ui.compareEffortA.currentIndex, ui.compareEffortB.currentIndex = 0, efforts.EFFORTS.index(10)
        ui.compareStartButton.click()
        self._reader.wait(lambda: not comparison.running, "the comparison has not ended")
        sides = [comparison_views.names(side) for side in comparison_views.SIDES]
        names = [name for row in zip(*sides) for name in row]
        views = self._camera.views(*names, size=(270, 230), columns=2)
        self._keep("09-compare", beside(self._camera.part("compareSectionButton"), views))
        ui.compareViewsButton.click()

    def studies(self) -> None:
        """Three loaded volumes in a queue; one is no scan."""
        ui, reader, queue = self._ui, self._reader, self._logic.studies
        self._camera.open("studiesButton")
        reader.load("Second CT")
        empty = slicer.util.addVolumeFromArray(np.full((3, 40, 40), np.nan, np.float32), name="Broken export")
        empty.CreateDefaultDisplayNodes()
        reader.effort(2)
        ui.studiesAddButton.click()
        ui.studiesStartButton.click()
        reader.wait(lambda: queue.entries[1].state == "running" or not queue.running, "no second study was begun")
        during = self._camera.part("studiesButton")
        reader.wait(lambda: not queue.running, "the queue has not ended")
        self._keep("10-more-studies", beside(during, self._camera.part("studiesButton")))

    def setUp(self) -> None:
        """What a first run checks, how fast a device is, and the two help pages."""
        ui, reader = self._ui, self._reader
        ui.deviceTestButton.click()
        (setUp,) = (section for section in reader.panel._sections if isinstance(section, SetUpSection))
        reader.wait(lambda: not setUp._test.running, "the devices were not tested")
        ready = self._camera.part("setUpButton")
        found = reader.panel._probe.state
        reader.panel._probe.state = TorchState("missing")  # played: here it is installed
        reader.panel._showState()
        missing = self._camera.part("setUpButton")
        reader.panel._probe.state = found
        reader.panel._showState()
        self._keep("11-set-up", beside(missing, ready, self._help(ui.troubleshootingButton, dark=False)))

    def _help(self, button, dark: bool):
        """A help page in the panel."""
        self._camera.open()
        button.click()
        image = self._camera.part("setUpButton", dark)
        button.click()
        return image

    def dark(self) -> None:
        """The whole panel in the dark theme, and the tutorial."""
        ui = self._ui
        self._reader.panel._check()
        self._camera.open("resultButton", "whyButton")
        panel = self._camera.panel(dark=True)
        views = self._camera.views("Red", "3D", size=(camera.PANEL_PIXELS, 300))
        self._keep("12-dark", beside(panel, below(self._help(ui.tutorialButton, dark=True), views)))

    def tokens(self) -> None:
        """Where a network of tokens stopped computing; the model is untrained."""
        reader, ui = self._reader, self._ui
        folder = run_folder.make() / "tokens"
        makeTokenBundle(folder)
        slicer.mrmlScene.Clear(0)
        reader.widget.enter()
        volume = reader.load()
        reader.panel._model.fill()
        reader.choose(volume, folder)
        ui.showTokensCheckBox.click()
        reader.effort(10)
        ui.segmentButton.click()
        reader.ends()
        self._logic.run.segments.node.GetDisplayNode().SetVisibility(False)
        reader.show(self._logic.run.patches[0].box)
        panel = below(self._camera.top(), self._camera.part("whyButton"))
        self._keep("13-dropped-tokens", beside(panel, self._camera.views("Red", "Green")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=RESULTS)
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    Tour(folder).walk()
    (folder / "README.md").write_text(words.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # views and Qt widgets take their time to go, and have nothing to save
