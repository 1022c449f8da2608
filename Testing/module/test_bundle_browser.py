"""The browser of models: real clicks that search, add, download, replace, delete and use."""

import json
import os
import shutil
import subprocess
import sys
import unittest
import zipfile
from pathlib import Path

import qt
import slicer
from bench import makeBundle, makeFolder, python, waitUntil
from test_widget import QUICK, WidgetCase

from EfficientSegBridge import bundle_words, bundles
from EfficientSegBridge.bundle_browser import BundleBrowser
from EfficientSegLib import bundle as library
from EfficientSegLib.protocol import Pace
from EfficientSegLib.store.home import VARIABLE

# Gives the files of its folder; slow.pt comes in drops, so that there is time to stop it.
SERVER = """
import http.server, os, sys, time
class Handler(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source, output):
        if not self.path.endswith("slow.pt"):
            return super().copyfile(source, output)
        while block := source.read(1000):
            output.write(block); output.flush(); time.sleep(0.05)
    def log_message(self, *arguments):
        pass
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def remake(folder: Path, **changes) -> Path:
    """Change the manifest of a bundle; the checksum becomes that of its weights."""
    path = folder / "bundle.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    weights = dict(content["weights"], sha256=library.checksum(folder / "weights.pt"))
    weights.update(changes.pop("weights", {}))
    path.write_text(json.dumps({**content, **changes, "weights": weights}), encoding="utf-8")
    return folder


class BrowserCase(WidgetCase):
    def setUp(self) -> None:
        self.home = makeFolder() / "Dr. Jöhn Ωé"
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = str(self.home)
        self.addCleanup(lambda: os.environ.__setitem__(VARIABLE, before) if before else os.environ.pop(VARIABLE))
        super().setUp()
        self.given = remake(
            Path(makeBundle(makeFolder()).folder), name="liver-mr", title="Liver <b>MR</b>", modality="MR"
        )
        self.panel._browser.cleanup()
        self.ui.browseButton.click()
        self.browser: BundleBrowser = self.panel._browser
        self.inside = self.browser.ui
        self.addCleanup(self.browser.cleanup)

    def answer(self, owner, name: str, said) -> None:
        """The user answers a dialog of Qt's."""
        before = getattr(owner, name)
        setattr(owner, name, staticmethod(lambda *_arguments: said))
        self.addCleanup(setattr, owner, name, before)

    def confirm(self, *answers: bool) -> list[str]:
        """The user answers yes or no to each question; the questions."""
        asked, left = [], list(answers)

        def display(text, **_options):
            asked.append(text)
            return left.pop(0)

        before = slicer.util.confirmYesNoDisplay
        slicer.util.confirmYesNoDisplay = display
        self.addCleanup(setattr, slicer.util, "confirmYesNoDisplay", before)
        return asked

    def shown(self) -> list[str]:
        view = self.inside.bundleList
        return [view.item(row).text().splitlines()[0] for row in range(view.count)]

    def select(self, title: str) -> None:
        self.inside.bundleList.setCurrentRow(next(row for row, one in enumerate(self.shown()) if title in one))

    def page(self) -> str:
        return self.inside.bundleText.toPlainText().replace("\xa0", " ")

    def status(self) -> str:
        return self.inside.bundleStatusLabel.text

    def waitForStatus(self, said: str) -> None:
        self.assertTrue(waitUntil(lambda: said in self.status(), 60), self.status())

    def addFolder(self, folder: Path) -> None:
        self.answer(qt.QFileDialog, "getExistingDirectory", str(folder))
        self.inside.bundleAddFolderButton.click()

    def serve(self, *files: Path) -> str:
        """The address of a server that gives these files."""
        folder = makeFolder()
        for path in files:
            shutil.copy(path, folder)
        (folder / "server.py").write_text(SERVER, encoding="utf-8")
        process = subprocess.Popen(
            [python(), str(folder / "server.py"), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        for name in ("no_proxy", "NO_PROXY"):
            before = os.environ.get(name)
            os.environ[name] = "127.0.0.1"
            self.addCleanup(os.environ.__setitem__, name, before or "")
        return f"http://127.0.0.1:{int(process.stdout.readline())}"


class TestLooking(BrowserCase):
    def test_it_opens_at_the_chosen_model_and_says_all_of_it(self) -> None:
        self.assertTrue(self.browser.dialog.visible)
        self.assertEqual(self.browser.choice.folder, Path(self.bundle.folder))
        said = self.page()
        for part in ("Played bundle", "played 1.0.0", "CT at 1 × 1 × 1 mm", "nmsw, nmsw", "CC0-1.0", "tests only"):
            self.assertIn(part, said)
        self.assertIn("■ Liver, ■ Left kidney, ■ Spleen", said)
        self.assertIn("No scores are given.", said)
        self.assertRegex(said, r"Time here\s+not measured yet")
        self.assertIn("#dd8265", self.inside.bundleText.toHtml().lower())

    def test_scores_stand_as_the_bundle_says_them_and_nothing_is_added(self) -> None:
        self.select("Demo CT")
        scores = library.load(bundles.SHIPPED / bundles.DEMO).provenance["scores"]
        self.assertIn(f"of: {scores['of']}", self.page())
        self.assertIn(str(next(iter(scores["cases"].values()))["dice"]["Liver"]), self.page())

    def test_a_measured_time_is_said_for_the_chosen_volume(self) -> None:
        self.segment()
        self.waitForEnd()
        self.ui.browseButton.click()
        self.assertIn("coarse ≈ 0 s, 5 patches ≈ 10 s, all 7 patches ≈ 14 s", self.page())
        whole = bundle_words.expected(
            library.load(remake(self.given, strategy={"name": "sliding_window", "options": {}})), Pace(1.0, 2.0, 10)
        )
        self.assertEqual(whole, "≈ 21 s")

    def test_the_search_looks_at_names_structures_modality_and_licence(self) -> None:
        self.inside.bundleSearchEdit.text = "kidney cc0 SPLEEN"
        self.assertEqual(self.shown(), ["Played bundle"])
        self.inside.bundleSearchEdit.text = "no such thing"
        self.assertEqual((self.shown(), self.page()), ([], "No model has all these words."))
        self.assertFalse(self.inside.bundleUseButton.enabled or self.inside.bundleOpenButton.enabled)
        self.inside.bundleSearchEdit.text = ""
        self.assertGreaterEqual(len(self.shown()), 3)

    def test_a_broken_one_is_listed_with_its_cure(self) -> None:
        broken = self.home / "broken"
        broken.mkdir(parents=True)
        (broken / "bundle.json").write_text("{", encoding="utf-8")
        self.ui.browseButton.click()
        self.select("broken")
        self.assertIn("is not JSON", self.page())
        self.assertIn("Get the bundle again.", self.page())
        self.assertFalse(self.inside.bundleUseButton.enabled)
        self.assertTrue(self.inside.bundleDeleteButton.enabled)

    def test_a_strangers_words_are_text_and_no_markup(self) -> None:
        self.addFolder(self.given)
        self.waitForStatus("is here")
        self.assertIn("Liver <b>MR</b>", self.page())
        self.assertIn("&lt;b&gt;", self.status())

    def test_a_folder_that_has_gone_meanwhile_is_said(self) -> None:
        self.addFolder(self.given)
        self.waitForStatus("is here")
        shutil.rmtree(self.home / "liver-mr-1.0.0")
        self.inside.bundleSearchEdit.text = "liver"
        self.assertIn("its folder is gone", self.page())

    def test_use_chooses_it_and_closes(self) -> None:
        self.select("Demo CT")
        self.inside.bundleUseButton.click()
        self.assertEqual(Path(self.node.bundle), bundles.SHIPPED / bundles.DEMO)
        self.assertIn("Demo CT", self.ui.bundleSelector.currentText)
        self.assertFalse(self.browser.dialog.visible)

    def test_during_a_run_the_model_stays(self) -> None:
        self.play = QUICK.replace("finished(request, labels)", "time.sleep(1.5); finished(request, labels)")
        self.segment()
        self.select("Demo CT")
        self.inside.bundleUseButton.click()
        self.assertIn("A run is under way", self.status())
        self.assertEqual(self.node.bundle, self.bundle.folder)
        self.waitForEnd()

    def test_the_folder_is_opened(self) -> None:
        opened = []
        before = qt.QDesktopServices.openUrl
        qt.QDesktopServices.openUrl = staticmethod(lambda url: opened.append(url.toLocalFile()) or True)
        self.addCleanup(setattr, qt.QDesktopServices, "openUrl", before)
        self.inside.bundleOpenButton.click()
        self.assertEqual(opened, [self.bundle.folder])


class TestComingAndGoing(BrowserCase):
    def test_a_folder_is_copied_chosen_and_deleted_again(self) -> None:
        self.addFolder(self.given)
        self.assertFalse(self.inside.bundleAddFileButton.enabled)
        self.assertTrue(self.inside.bundleStopButton.visible)
        self.waitForStatus("is here")
        self.assertEqual(self.browser.choice.folder, self.home / "liver-mr-1.0.0")
        self.assertGreaterEqual(self.ui.bundleSelector.findText("Liver <b>MR</b>"), 0)
        asked = self.confirm(False, True)
        self.inside.bundleDeleteButton.click()
        self.assertTrue((self.home / "liver-mr-1.0.0").is_dir())
        self.inside.bundleDeleteButton.click()
        self.assertIn("Its folder is removed", asked[0])
        self.assertFalse((self.home / "liver-mr-1.0.0").exists())
        self.assertTrue((self.given / "weights.pt").is_file())
        self.assertEqual(self.ui.bundleSelector.findText("Liver <b>MR</b>"), -1)

    def test_a_file_is_added_and_replaced_only_after_a_question(self) -> None:
        packed = makeFolder() / "ä.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for path in self.given.iterdir():
                archive.write(path, f"liver/{path.name}")
        self.answer(qt.QFileDialog, "getOpenFileName", str(packed))
        self.inside.bundleAddFileButton.click()
        self.waitForStatus("is here")
        asked = self.confirm(False, True)
        self.inside.bundleAddFileButton.click()
        self.assertTrue(waitUntil(lambda: asked and not self.browser._fetcher.running))
        self.assertIn("liver-mr 1.0.0 is there already.\n\nReplace it?", asked[0])
        self.inside.bundleAddFileButton.click()
        self.waitForStatus("is here")
        self.assertEqual(len(asked), 2)

    def test_a_file_that_is_no_bundle_is_said_and_changes_nothing(self) -> None:
        before, path = self.shown(), makeFolder() / "x.zip"
        path.write_bytes(b"no zip")
        self.answer(qt.QFileDialog, "getOpenFileName", str(path))
        self.inside.bundleAddFileButton.click()
        self.waitForStatus("x.zip is no .zip that can be read.")
        self.assertEqual(self.shown(), before)
        self.assertTrue(self.inside.bundleAddFileButton.enabled)

    def test_a_dialog_closed_without_a_choice_does_nothing(self) -> None:
        self.answer(qt.QFileDialog, "getOpenFileName", "")
        self.answer(qt.QFileDialog, "getExistingDirectory", "")
        self.answer(qt.QInputDialog, "getText", "")
        for name in ("File", "Folder", "Address"):
            getattr(self.inside, f"bundleAdd{name}Button").click()
        self.assertFalse(self.browser._fetcher.running)

    def test_shipped_ones_cannot_be_deleted_and_those_elsewhere_are_taken_off_the_list(self) -> None:
        self.assertEqual(self.inside.bundleDeleteButton.text, "Remo&ve")
        self.inside.bundleDeleteButton.click()
        self.assertNotIn("Played bundle", self.shown())
        self.assertTrue((Path(self.bundle.folder) / "weights.pt").is_file())
        self.select("Demo CT")
        self.assertFalse(self.inside.bundleDeleteButton.enabled)

    def offer(self, name: str = "weights.pt") -> None:
        """A bundle whose weights wait at an address."""
        if name != "weights.pt":
            shutil.copy(self.given / "weights.pt", self.given / name)
        address = self.serve(self.given / name)
        remake(self.given, weights={"url": f"{address}/{name}"})
        (self.given / "weights.pt").unlink()
        self.addFolder(self.given)
        self.waitForStatus("is here")

    def test_weights_are_downloaded_only_after_a_question_with_host_and_size(self) -> None:
        (self.given / "weights.pt").write_bytes(b"w" * 2_500_000)
        self.offer()
        self.assertIn("its weights are not downloaded yet", self.page())
        self.assertFalse(self.inside.bundleUseButton.enabled)
        self.assertEqual(self.ui.bundleSelector.findText("Liver <b>MR</b>"), -1)
        asked = self.confirm(False, True)
        self.inside.bundleDownloadButton.click()
        self.assertTrue(waitUntil(lambda: asked))
        self.assertEqual(asked[0], "Download 2.5 MB from 127.0.0.1?")
        self.assertFalse(self.browser._fetcher.running)
        self.inside.bundleDownloadButton.click()
        self.waitForStatus("is here")
        self.assertTrue(self.inside.bundleUseButton.enabled)
        self.assertEqual((self.home / "liver-mr-1.0.0" / "weights.pt").stat().st_size, 2_500_000)
        self.assertGreaterEqual(self.ui.bundleSelector.findText("Liver <b>MR</b>"), 0)

    def test_a_download_is_stopped_and_kept_to_go_on_from(self) -> None:
        (self.given / "weights.pt").write_bytes(b"w" * 1_000_000)
        self.offer("slow.pt")
        self.confirm(True)
        self.inside.bundleDownloadButton.click()
        self.assertTrue(waitUntil(lambda: "MB of 1.0 MB" in self.status(), 60), self.status())
        self.inside.bundleStopButton.click()
        self.waitForStatus("goes on from where it was")
        self.assertFalse(self.inside.bundleStopButton.visible)
        parts = list((self.home / ".store").glob("*.part"))
        self.assertEqual(len(parts), 1)
        self.assertGreater(parts[0].stat().st_size, 0)

    def test_a_whole_model_comes_from_an_address_and_a_wrong_one_is_said(self) -> None:
        packed = makeFolder() / "liver.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for path in self.given.iterdir():
                archive.write(path, path.name)
        address = self.serve(packed)
        asked = self.confirm(True)
        self.answer(qt.QInputDialog, "getText", f" {address}/liver.zip ")
        self.inside.bundleAddAddressButton.click()
        self.waitForStatus("is here")
        self.assertIn("from 127.0.0.1?", asked[0])
        self.answer(qt.QInputDialog, "getText", f"{address}/other.zip")
        self.inside.bundleAddAddressButton.click()
        self.waitForStatus("has no such file")

    def test_unloading_ends_what_is_under_way(self) -> None:
        self.addFolder(self.given)
        self.browser.cleanup()
        self.assertFalse(self.browser._fetcher.running)
        self.assertIsNone(self.browser.dialog)


@unittest.skipUnless("standin" in sys.modules, "Inside Slicer there are screenshots of one's own.")
class TestPicture(BrowserCase):
    def test_it_fits_350_pixels_in_both_themes(self) -> None:
        import standin

        self.select("Demo CT")
        output = Path(__file__).resolve().parents[1] / "output"
        output.mkdir(exist_ok=True)
        for name, dark in (("light", False), ("dark", True)):
            path = output / f"bundle-browser-{name}.png"
            standin.start().screenshot_panel(self.browser.dialog, path, width=350, dark=dark)
            self.assertEqual(qt.QImage(str(path)).width(), 350)
        self.assertLessEqual(self.browser.dialog.minimumSizeHint.width(), 350)


if __name__ == "__main__":
    unittest.main()
