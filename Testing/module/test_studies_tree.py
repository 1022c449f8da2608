"""More studies of a folder tree: mirrored, with books on disk, resumed, and never over other people's work."""

import json
import unittest
from pathlib import Path

import qt
from bench import makeFolder, waitUntil
from test_studies import QUICK, StudiesCase

from EfficientSegBridge import studies_section, study_listing
from EfficientSegBridge.study_kinds import FolderStudy, LoadedStudy
from EfficientSegLib.studies.case import Case
from EfficientSegLib.studies.queue_file import Lock, QueueFile


class TestFolderTree(StudiesCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = makeFolder()
        for name in ("a ä/ct.nii", "b/ct.nii", "b/late.nrrd"):
            (self.folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "in" / name).write_bytes(b"not looked into")
        self.output = self.folder / "out"
        self.source(studies_section.TREE)
        self.ui.studiesInputEdit.currentPath = str(self.folder / "in")
        self.ui.studiesOutputEdit.currentPath = str(self.output)

    def tearDown(self) -> None:
        for setting in studies_section.FOLDERS.values():
            qt.QSettings().remove(setting)
        super().tearDown()

    def addTree(self) -> None:
        self.add()
        sections = self.panel._sections
        listing = next(part for part in sections if isinstance(part, studies_section.StudiesSection))._listing
        self.assertTrue(waitUntil(lambda: not listing.running, 60))

    def test_a_tree_is_mirrored_with_books_that_the_command_line_keeps_too(self) -> None:
        self.addTree()
        self.assertEqual([name for name, _state in self.shown()], ["a ä/ct", "b/ct", "b/late"])
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"a ä/ct": "done", "b/ct": "done", "b/late": "failed"})
        made = (self.output / "a ä" / "ct.seg.nrrd").read_bytes()
        self.assertTrue(made.endswith(str(Path("in") / "a ä" / "ct.nii").encode()))
        record = json.loads((self.output / "b" / "ct.run.json").read_text(encoding="utf-8"))
        self.assertEqual(record["queue"]["case"], "b/ct")
        self.assertEqual(QueueFile(self.output).read()["b/late"].what, "late.nrrd is MR.")
        self.assertIn("b/ct,done,", (self.output / "results.csv").read_text(encoding="utf-8"))
        self.assertFalse((self.output / "queue.lock").exists())
        self.assertEqual(self.leftOvers(), [])

    def test_resume_does_only_what_is_not_done(self) -> None:
        self.addTree()
        self.start()
        self.waitForQueue()
        before = (self.output / "b" / "ct.seg.nrrd").stat().st_mtime_ns
        (self.folder / "in" / "b" / "late.nrrd").unlink()
        self.start()
        self.waitForQueue()
        self.assertEqual((self.output / "b" / "ct.seg.nrrd").stat().st_mtime_ns, before)
        self.assertEqual(self.states().get("b/late"), "failed", (self.shown(), self.ui.studiesLabel.text))
        self.ui.effortSlider.value = 0
        self.start()
        self.waitForQueue()
        self.assertNotEqual((self.output / "b" / "ct.seg.nrrd").stat().st_mtime_ns, before)  # another effort

    def test_what_is_done_already_is_shown_as_done_and_queued_once(self) -> None:
        self.addTree()
        self.start()
        self.waitForQueue()
        self.addTree()
        self.assertEqual(len(self.shown()), 3)
        self.ui.studiesClearButton.click()
        self.addTree()
        self.assertEqual(dict(self.shown()), {"a ä/ct": "✓ done", "b/ct": "✓ done", "b/late": "… waiting"})

    def test_patterns_choose_and_work_by_hand_stays(self) -> None:
        (self.output / "b").mkdir(parents=True)
        (self.output / "b" / "ct.seg.nrrd").write_bytes(b"hours of work")
        self.ui.studiesPatternEdit.text = "b/ct*, nothing"
        self.addTree()
        self.assertEqual([name for name, _state in self.shown()], ["b/ct"])
        self.assertIn("2 left out", self.ui.studiesLabel.text)
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"b/ct": "failed"})
        self.assertEqual((self.output / "b" / "ct.seg.nrrd").read_bytes(), b"hours of work")

    def test_a_folder_that_another_queue_works_on_is_refused_in_words(self) -> None:
        self.addTree()
        with Lock(self.output):
            self.start()
            self.assertIn("Another queue is at work", self.ui.studiesLabel.text)
            self.assertFalse(self.studies.running)
        self.assertFalse(self.logic.worker.running)

    def test_a_folder_that_is_not_there_is_told(self) -> None:
        self.ui.studiesInputEdit.currentPath = str(self.folder / "nowhere")
        self.addTree()
        self.assertIn("is no folder", self.ui.studiesLabel.text)
        self.ui.studiesOutputEdit.currentPath = ""
        self.add()
        self.assertIn("A folder is missing.", self.ui.studiesLabel.text)

    def test_a_series_reaches_the_worker_with_its_files(self) -> None:
        self.play = QUICK.replace(
            'source = request["input"]', 'source = request["input"]; assert request["files"] == ["1.dcm", "2.dcm"]'
        )
        folder = self.folder / "dicom"
        folder.mkdir()
        for name in ("1.dcm", "2.dcm"):
            (folder / name).write_bytes(b"slice")
        self.studies.add([FolderStudy(Case("p/2-Abdomen", str(folder), ("1.dcm", "2.dcm"), "Abdomen"), self.output)])
        self.studies.add([LoadedStudy(self.volume)])
        self.studies.studies.pop()  # one kind beside another is one queue; here the series alone
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"p/2-Abdomen": "done"})
        self.assertTrue((self.output / "p" / "2-Abdomen.seg.nrrd").is_file())


class TestListing(unittest.TestCase):
    def test_lines_become_cases_and_errors_words(self) -> None:
        listing = study_listing.read(
            '{"case": "a", "input": "/in/a", "files": ["1"], "title": "T", "state": "done"}\n'
            'log text\n{"left_out": "/in/b", "why": "MR"}\n',
            "",
        )
        self.assertEqual(listing.cases, (Case("a", "/in/a", ("1",), "T"),))
        self.assertEqual(listing.leftOut, (("/in/b", "MR"),))
        self.assertEqual(study_listing.read("", "chatter\nWhat.\nWhy.\nMend.\n").trouble, "What. Why. Mend.")


if __name__ == "__main__":
    unittest.main()
