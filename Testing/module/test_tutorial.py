"""The tutorial's pictures are made here, by going through it; its words name what the panel really shows.

They are written to Testing/output. To bring the ones that are shipped up to date:

    EFFICIENTSEG_KEEP_PICTURES=1 python -m pytest Testing/module/test_tutorial.py
"""

import os
import re
import shutil
import sys
import unittest
from html import unescape

import numpy as np
import qt
import slicer
from bench import waitUntil
from test_pictures import OUTPUT, ROOT, TestPictures

from EfficientSegBridge import efforts, help_pages, nodes, paces, sample_data
from EfficientSegBridge.torch_probe import TorchState

KEEP = "EFFICIENTSEG_KEEP_PICTURES"  # set to anything: replace the shipped pictures by those made now
LARGEST_BYTES = 600_000  # all pictures together
PANEL_PIXELS = 350
# As wide as the viewer in a panel of 350 pixels: it neither scales (raggedly) nor scrolls sideways.
WIDTH = 280
VIEW_HEIGHT = 220
ROWS = {"coarse": ("Red", "Green"), "refined": ("Red", "3D")}
JPEG_QUALITY = 85  # of the views; the panel's letters want PNG
PAGE = help_pages.FOLDER / help_pages.TUTORIAL


def named() -> list[str]:
    """The pictures of the page, in its order."""
    return re.findall(r'<img src="([^"]+)"', PAGE.read_text(encoding="utf-8"))


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


class TestPage(unittest.TestCase):
    def setUp(self) -> None:
        self.page = PAGE.read_text(encoding="utf-8")

    def test_every_picture_is_shipped_and_all_are_small(self) -> None:
        files = [help_pages.FOLDER / name for name in named()]
        self.assertIn(len(files), range(4, 7))
        for file in files:
            self.assertEqual(qt.QImage(str(file)).width(), WIDTH, file.name)
        self.assertLess(sum(file.stat().st_size for file in files), LARGEST_BYTES)
        shipped = {file for file in help_pages.FOLDER.iterdir() if file.suffix in (".png", ".jpg")}
        self.assertEqual(shipped, set(files), "pictures that the page does not show")

    def test_what_it_says_to_click_is_on_the_panel(self) -> None:
        texts = set()
        for file in (ROOT / "Resources" / "UI").glob("*.ui"):
            found = re.findall(r"<string>([^<]*)</string>", file.read_text(encoding="utf-8"))
            texts |= {unescape(text).replace("&", "") for text in found}
        # More is Segment's other text; Sample Data is Slicer's own module.
        spoken = {"More", "Sample Data"}
        buttons = {plain(text) for text in re.findall(r"<b>(.*?)</b>", self.page, re.DOTALL)}
        self.assertGreater(len(buttons), 15)
        self.assertEqual(buttons - texts - spoken, set())

    def test_it_names_its_sample_and_how_far_to_trust_it(self) -> None:
        said = plain(self.page)
        self.assertIn(sample_data.FILE.name, said)
        self.assertTrue(sample_data.FILE.is_file())
        self.assertIn("research only", said.lower())
        self.assertNotIn("confidence", said.lower())


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestTutorial(unittest.TestCase):
    """Goes through the tutorial like a reader, with the worker and the shipped model, and keeps what is seen."""

    @classmethod
    def setUpClass(cls) -> None:
        OUTPUT.mkdir(exist_ok=True)

    def setUp(self) -> None:
        import standin

        self.application = standin.start()
        slicer.mrmlScene.Clear(0)
        qt.QSettings().setValue(paces.SETTING, "")  # a reader comes for the first time: nothing was timed yet
        self.widget = self.application.load_module(ROOT / "EfficientSeg" / "EfficientSeg.py")
        self.addCleanup(self.application.unload_module, "EfficientSeg")
        self.ui, self.panel, self.logic = self.widget.ui, self.widget.panel, self.widget.logic
        self.panel._probe.stop()
        self.panel._probe.state = TorchState("ok", "2.9.0")
        self.made: list[str] = []

    def test_the_pictures_are_those_of_the_page(self) -> None:
        self.choose()
        self.effort(0)
        self.segment()
        self.views("coarse")
        self.effort(10)
        self.assertEqual(self.ui.segmentButton.text, "More")
        self.segment()
        self.refineHere()
        self.ui.show3DButton.checked = True
        segmentation = self.logic.run.segments.node.GetSegmentation()
        self.assertTrue(waitUntil(lambda: segmentation.ContainsRepresentation("Closed surface"), 60))
        self.views("refined")
        for section, button in (("result", "resultButton"), ("why", "whyButton"), ("review", "reviewButton")):
            self.part(section, getattr(self.ui, button))
        self.assertEqual(self.made, named())
        if os.environ.get(KEEP):
            for name in self.made:
                shutil.copyfile(OUTPUT / name, help_pages.FOLDER / name)

    # What the reader does

    def choose(self) -> None:
        node = self.panel.parameterNode
        node.bundle, node.volume = TestPictures.subject()
        node.volume.SetName(sample_data.NAME)
        slicer.util.setSliceViewerLayers(background=node.volume, fit=True)
        self.panel._check()
        self.part("start", None)

    def effort(self, patches: int) -> None:
        self.ui.effortSlider.value = efforts.EFFORTS.index(patches)

    def segment(self) -> None:
        self.ui.segmentButton.click()
        self.wait()

    def wait(self) -> None:
        self.assertTrue(waitUntil(lambda: not self.logic.running, 300))
        self.assertEqual(self.logic.run.state, "done", self.logic.run.text)

    def refineHere(self) -> None:
        """Click the button, then a place that no patch has covered yet."""
        read, shape = self.logic.run.patchesRead, slicer.util.arrayFromVolume(self.panel.parameterNode.volume).T.shape
        covered = np.zeros(shape, bool)
        for scored in self.logic.run.patches:
            covered[scored.box.slices()] = True
        found = np.argwhere(~covered)
        place = found[np.abs(found - np.array(shape) / 2).sum(axis=1).argmin()]
        self.ui.refineHereButton.click()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        markups = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
        markups.AddControlPointWorld(list((nodes.ijkToRas(self.panel.parameterNode.volume) @ [*place, 1])[:3]))
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self.assertTrue(waitUntil(lambda: self.logic.running))
        self.wait()
        self.assertGreater(self.logic.run.patchesRead, read)

    # What is kept of it

    def keep(self, file: str, image) -> None:
        """Write a picture for the page, unless there is nothing to be seen on it."""
        small = image.scaled(60, 60)
        colours = {small.pixel(x, y) for x in range(60) for y in range(60)}
        self.assertGreater(len(colours), 20, f"{file} is empty")
        self.assertTrue(image.save(str(OUTPUT / file), None, JPEG_QUALITY if file.endswith(".jpg") else -1))
        self.made.append(file)

    def views(self, name: str) -> None:
        """Two views, one below the other."""
        from standin import screenshots

        before, screenshots.FOUR_UP = screenshots.FOUR_UP, {view: (0, row) for row, view in enumerate(ROWS[name])}
        self.addCleanup(setattr, screenshots, "FOUR_UP", before)
        path = OUTPUT / "tutorial-views.png"
        self.application.screenshot_views(path, (2 * WIDTH + screenshots.GAP, 2 * VIEW_HEIGHT + screenshots.GAP))
        screenshots.FOUR_UP = before
        image = qt.QImage(str(path))
        self.keep(f"tutorial-{name}.jpg", image.copy(0, 0, WIDTH, image.height()))
        path.unlink()

    def part(self, name: str, button) -> None:
        """One part of the panel, the others closed; without a button the rows at its top."""
        ui = self.ui
        parts = (ui.resultButton, ui.whyButton, ui.reviewButton, ui.compareSectionButton, ui.studiesButton)
        for other in (*parts, ui.setUpButton, ui.advancedButton):
            other.collapsed = other != button
        if button == ui.reviewButton:
            ui.reviewNextButton.click()
        tables = {"result": ui.statisticsTable, "why": ui.patchesTable, "review": ui.reviewTable}
        if name in tables:
            self.assertTrue(waitUntil(lambda: self.isSaid(tables[name]), 120), "… instead of words")
            self.assertTrue(waitUntil(self.isSettled, 120), "places are still being put into words")
        image, root = self.panelPicture(), self.widget.parent
        top = button.mapTo(root, qt.QPoint(0, 0)).y() if button is not None else 0
        bottom = top + button.height if button is not None else ui.resultButton.mapTo(root, qt.QPoint(0, 0)).y()
        part = image.copy(0, top, PANEL_PIXELS, bottom - top)
        self.keep(f"tutorial-{name}.png", part.scaledToWidth(WIDTH, qt.Qt.SmoothTransformation))

    def panelPicture(self):
        path = OUTPUT / "tutorial-panel.png"
        for _again in range(2):  # the first one gives the parts that were opened or closed their size
            self.application.screenshot_panel(self.widget.parent, path, width=PANEL_PIXELS)
        image = qt.QImage(str(path))
        path.unlink()
        return image

    def isSettled(self) -> bool:
        return not any(section._steps.busy for section in self.panel._sections if hasattr(section, "_steps"))

    @staticmethod
    def isSaid(table) -> bool:
        """Whether a table has all its words: they come step by step."""
        places = ((row, column) for row in range(table.rowCount) for column in range(table.columnCount))
        cells = [item.text() for item in (table.item(*place) for place in places) if item is not None]
        return bool(cells) and "…" not in cells


if __name__ == "__main__":
    unittest.main()
