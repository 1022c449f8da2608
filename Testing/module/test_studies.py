"""More studies: real clicks on loaded volumes and frames of a sequence, with a worker that is played."""

import unittest

import qt
import slicer
from bench import GEOMETRIES, labelsOf, makeFolder, makeVolume, segmentNames, waitUntil
from test_widget import WidgetCase

from EfficientSegBridge import frame_results, studies_section, studies_table
from EfficientSegBridge.study_store import StudyStore

# Answers every request like the real worker, with its files; a study named late.nrrd fails in words.
PLAY = """
import shutil
def play(request):
    say("Progress", stage="patches", fraction=0.5, done=1, total=2, seconds_left=62.0)
    source = request["input"]
    if source.endswith("late.nrrd"):
        say("Failed", what="late.nrrd is MR.", why="The bundle reads CT.", mend="Choose a CT.")
        return
    SOMETHING
    labels = np.zeros((12, 10, 8), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    folder = request["output_dir"]
    record = {"complete": True, "input": {"path": source}, "seconds": {"total": 1.5}, "warnings": ["Thick slices."],
              "volumes_ml": {"Liver": 64.0, "Spleen": 0.0}}
    with open(os.path.join(folder, "run.json"), "w") as file:
        json.dump(record, file)
    made = ""
    if request["save_segmentation"]:
        made = os.path.join(folder, "segmentation.seg.nrrd")
        with open(made, "wb") as file:
            file.write(b"NRRD0004 of " + source.encode())
    np.save(os.path.join(folder, "labels.npy"), labels)
    say("Finished", labels=os.path.join(folder, "labels.npy"), segmentation=made,
        record=os.path.join(folder, "run.json"), seconds=1.5, peak_memory_mb=100.0, complete=not stopped(request),
        patches_read=2, patches_total=2)
"""
QUICK = PLAY.replace("SOMETHING", "")
WAITING = PLAY.replace("SOMETHING", "while not stopped(request):\n        time.sleep(0.02)")
CRASHING_ONCE = PLAY.replace(
    "SOMETHING",
    'mark = sys.argv[1] + ".mark"\n    if not os.path.exists(mark):\n        open(mark, "w").close(); os._exit(3)',
)


def makeSequence(frames: int = 3, name: str = "4D CT"):
    """A sequence of volumes and the browser that plays it."""
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("phase")
    sequence.SetIndexUnit("%")
    for index in range(frames):
        volume = makeVolume(GEOMETRIES["oblique"], name=f"frame {index}")
        sequence.SetDataNodeAtValue(volume, str(10 * index))
        slicer.mrmlScene.RemoveNode(volume)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    return sequence, browser


class StudiesCase(WidgetCase):
    play = QUICK

    def setUp(self) -> None:
        super().setUp()
        self.studies = self.logic.studies
        self.ui.studiesButton.collapsed = False
        self.ui.studiesSourceBox.currentIndex = studies_section.LOADED
        self.ui.studiesPatternEdit.text = ""
        self.addCleanup(self.studies.forget)

    def source(self, place: int) -> None:
        self.ui.studiesSourceBox.currentIndex = place

    def add(self) -> None:
        self.ui.studiesAddButton.click()

    def start(self) -> None:
        self.ui.studiesStartButton.click()

    def waitForQueue(self) -> None:
        self.assertTrue(waitUntil(lambda: not self.studies.running), [study.entry for study in self.studies.studies])

    def states(self) -> dict[str, str]:
        return {study.entry.case: study.entry.state for study in self.studies.studies}

    def shown(self) -> list[tuple[str, str]]:
        table = self.ui.studiesTable
        return [tuple(table.item(row, column).text() for column in range(2)) for row in range(table.rowCount)]


class TestLoadedVolumes(StudiesCase):
    def test_each_loaded_volume_gets_a_segmentation_beside_it(self) -> None:
        second = makeVolume(GEOMETRIES["flipped"], name="CT 2")
        hidden = makeVolume(name="hidden")
        hidden.SetHideFromEditors(True)
        self.add()
        self.assertEqual(self.shown(), [("CT", "… waiting"), ("CT 2", "… waiting")])
        self.start()
        self.assertTrue(waitUntil(lambda: "patch 1 of 2, 1 min 02 s left" in self.shown()[0][1]))
        self.assertFalse(self.ui.deviceTestButton.enabled)
        self.waitForQueue()
        self.assertTrue(self.ui.deviceTestButton.enabled, "other parts have not noticed the end of the queue")
        self.assertEqual(self.shown(), [("CT", "✓ done"), ("CT 2", "✓ done")])
        for volume in (self.volume, second):
            node = slicer.util.getNode(f"{volume.GetName()} segmentation")
            self.assertEqual(segmentNames(node), ["Liver"])
            self.assertEqual(int(labelsOf(node, "played_1", volume).sum()), 64)
        self.assertEqual(self.leftOvers(), [])

    def test_results_stand_in_a_table_node_and_a_file(self) -> None:
        self.add()
        self.start()
        self.waitForQueue()
        node = studies_table.find()
        self.assertIs(self.ui.studiesResults.mrmlTableNode(), node)
        table = node.GetTable()
        names = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        row = {name: table.GetValueByName(0, name).ToString() for name in names}
        self.assertEqual((row["case"], row["state"], row["Liver (ml)"]), ("CT", "done", "64.0"))
        self.assertEqual(row["warnings"], "Thick slices.")
        path = makeFolder() / "ä.csv"
        ask, qt.QFileDialog.getSaveFileName = qt.QFileDialog.getSaveFileName, lambda *_arguments: str(path)
        self.addCleanup(setattr, qt.QFileDialog, "getSaveFileName", ask)
        self.ui.studiesSaveButton.click()
        self.assertIn("CT,done,1.5,64.0,0.0,Thick slices.", path.read_text(encoding="utf-8"))
        self.assertIn("Written", self.ui.studiesLabel.text)

    def test_a_volume_deleted_meanwhile_fails_in_words_and_the_rest_goes_on(self) -> None:
        other = makeVolume(name="CT 2")
        self.add()
        slicer.mrmlScene.RemoveNode(self.volume)
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"CT": "failed", "CT 2": "done"})
        self.assertIn("not in the scene any more", self.ui.studiesTable.item(0, 0).toolTip())
        self.assertIsNotNone(slicer.util.getNode(f"{other.GetName()} segmentation"))

    def test_what_cannot_be_segmented_fails_in_words_and_the_rest_goes_on(self) -> None:
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        self.add()
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"CT": "done", "empty": "failed"})
        self.assertIn("2 cases: 1 done, 1 failed.", self.ui.studiesLabel.text)

    def test_a_worker_that_dies_costs_one_study(self) -> None:
        self.play = CRASHING_ONCE
        makeVolume(name="CT 2")
        self.add()
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"CT": "failed", "CT 2": "done"})
        self.assertIn("ended by itself", self.studies.studies[0].entry.what)

    def test_stop_keeps_and_resume_goes_on(self) -> None:
        self.play = WAITING
        makeVolume(name="CT 2")
        self.add()
        self.start()
        self.assertTrue(waitUntil(lambda: self.shown()[0][1].startswith("▶ patch")))
        self.ui.studiesStopButton.click()
        self.waitForQueue()
        self.assertEqual(self.states(), {"CT": "stopped", "CT 2": "waiting"})
        self.assertEqual(self.ui.studiesStartButton.text, "Resume")
        kept = slicer.util.getNode("CT segmentation")
        self.play = QUICK
        self.logic._worker.stop()
        self.logic._worker = None
        self.start()
        self.waitForQueue()
        self.assertEqual(self.states(), {"CT": "done", "CT 2": "done"})
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 2)
        self.assertIs(self.studies.studies[0].segmentationNode, kept)
        self.assertFalse(self.ui.studiesStartButton.enabled)

    def test_segment_is_refused_in_words_meanwhile_and_the_other_way_round(self) -> None:
        self.play = WAITING
        self.add()
        self.start()
        self.assertTrue(waitUntil(lambda: self.studies.running and self.shown()[0][1].startswith("▶ patch")))
        self.segment()
        self.assertIn("More studies is at work.", self.ui.statusLabel.text)
        self.assertFalse(self.logic.running)
        self.ui.studiesStopButton.click()
        self.waitForQueue()
        self.segment()
        self.assertTrue(waitUntil(lambda: self.logic.running))
        self.panel.runChanged()
        self.assertFalse(self.ui.studiesStartButton.enabled)
        self.logic.stopSegmentation()
        self.waitForEnd()

    def test_the_same_volume_is_not_queued_twice_and_clear_empties_the_queue(self) -> None:
        self.add()
        self.add()
        self.assertEqual(self.shown(), [("CT", "… waiting")])
        self.assertIn("1 were in the queue already", self.ui.studiesLabel.text)
        self.ui.studiesClearButton.click()
        self.assertEqual(self.shown(), [])
        self.assertFalse(self.ui.studiesStartButton.enabled)

    def test_without_volumes_it_says_so(self) -> None:
        slicer.mrmlScene.RemoveNode(self.volume)
        self.add()
        self.assertIn("No volume is loaded.", self.ui.studiesLabel.text)


class TestQueueInTheScene(StudiesCase):
    def test_a_reload_of_the_module_keeps_the_queue(self) -> None:
        makeVolume(name="CT 2")
        self.add()
        self.studies.forget()  # as when the logic of before goes
        self.assertEqual(self.shown(), [])
        self.panel.setParameterNode(self.logic.getParameterNode())
        self.assertEqual(self.shown(), [("CT", "… waiting"), ("CT 2", "… waiting")])

    def test_a_saved_scene_brings_the_queue_its_volumes_and_results_back(self) -> None:
        second = makeVolume(name="CT 2")
        self.add()
        self.start()
        self.waitForQueue()
        self.studies.studies[1].entry = type(self.studies.studies[1].entry)("CT 2", "the scene", "running")
        StudyStore().write(self.studies.studies)
        path = makeFolder() / "queue.mrb"
        self.assertTrue(slicer.util.saveScene(str(path)))
        slicer.mrmlScene.Clear(0)
        self.assertEqual(StudyStore().read(), [])
        slicer.util.loadScene(str(path))
        first, second = StudyStore().read()
        self.assertEqual((first.entry.state, first.entry.volumes_ml["Liver"]), ("done", 64.0))
        self.assertEqual((second.entry.state, second.volumeNode.GetName()), ("waiting", "CT 2"))
        self.assertEqual(first.segmentationNode.GetName(), "CT segmentation")

    def test_closing_the_scene_ends_the_queue(self) -> None:
        self.play = WAITING
        self.add()
        self.start()
        self.assertTrue(waitUntil(lambda: self.shown()[0][1].startswith("▶ patch")))
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.studies.running)
        self.assertEqual((self.shown(), self.leftOvers()), ([], []))

    def test_a_newer_queue_is_left_alone(self) -> None:
        self.add()
        node = slicer.mrmlScene.GetSingletonNode("EfficientSegStudies", "vtkMRMLScriptedModuleNode")
        node.SetParameter("studies", '[{"kind": "volume", "entry": {"future": 1}}]')
        self.assertEqual(StudyStore().read(), [])


class TestFrames(StudiesCase):
    def test_frames_become_a_sequence_of_segmentations_that_plays_along(self) -> None:
        sequence, browser = makeSequence()
        before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
        self.source(studies_section.FRAMES)
        self.ui.studiesSequenceSelector.setCurrentNode(sequence)
        self.add()
        self.assertEqual(self.shown()[1][0], "4D CT, frame 2 (phase 10 %)")
        self.start()
        self.waitForQueue()
        self.assertEqual(set(self.states().values()), {"done"})
        results = frame_results.results(sequence)
        self.assertEqual(results.GetNumberOfDataNodes(), 3)
        self.assertEqual([results.GetNthIndexValue(index) for index in range(3)], ["0", "10", "20"])
        self.assertEqual(segmentNames(results.GetNthDataNode(2)), ["Liver"])
        self.assertTrue(browser.IsSynchronizedSequenceNode(results, True))
        browser.SetSelectedItemNumber(1)
        proxy = browser.GetProxyNode(results)
        self.assertEqual(segmentNames(proxy), ["Liver"])
        frame = sequence.GetNthDataNode(1)
        self.assertEqual(int(labelsOf(proxy, "played_1", frame).sum()), 64)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), before)  # nothing is left over

    def test_frames_on_show_are_no_loaded_volumes(self) -> None:
        makeSequence()
        self.add()
        self.assertEqual([name for name, _state in self.shown()], ["CT"])

    def test_a_sequence_of_something_else_is_refused_in_words(self) -> None:
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "transforms")
        self.source(studies_section.FRAMES)
        self.ui.studiesSequenceSelector.setCurrentNode(sequence)
        self.add()
        self.assertIn("No sequence of volumes is chosen.", self.ui.studiesLabel.text)


if __name__ == "__main__":
    unittest.main()
