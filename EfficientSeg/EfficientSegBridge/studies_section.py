"""The More studies part of the panel: choose, add, start, stop, and see what became of each."""

import html
from contextlib import contextmanager
from pathlib import Path

import qt
import slicer

from EfficientSegBridge import frame_results, studies_table
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.section import Section
from EfficientSegBridge.study_kinds import FolderStudy, FrameStudy, LoadedStudy, Study, studyRequest
from EfficientSegBridge.study_listing import Listing, StudyListing
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError, OptionError
from EfficientSegLib.files import replacing
from EfficientSegLib.studies import results

LOADED, FRAMES, TREE = range(3)  # places in the list of sources
SIGNS = {"waiting": "…", "running": "▶", "done": "✓", "stopped": "◼", "failed": "✕"}
FOLDERS = {"studiesInputEdit": "EfficientSeg/StudiesInput", "studiesOutputEdit": "EfficientSeg/StudiesOutput"}


class StudiesSection(Section):
    """Shows the logic's queue, `logic.studies`."""

    UI = "MoreStudies.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._studies = logic.studies
        self._studies.onChanged = self.refresh
        self._listing = StudyListing(self._onListed)
        self._said = ""
        self._shown: list[tuple] = []
        self._output = Path()
        self._tabled: tuple = ()
        self._running = False
        self._states = {
            "waiting": _("waiting"),
            "running": _("at work"),
            "done": _("done"),
            "stopped": _("stopped"),
            "failed": _("failed"),
        }
        for name, setting in FOLDERS.items():
            getattr(ui, name).currentPath = str(qt.QSettings().value(setting) or "")
        header = ui.studiesTable.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, qt.QHeaderView.ResizeMode.ResizeToContents)
        ui.studiesSourceBox.connect("currentIndexChanged(int)", self._onSource)
        ui.studiesAddButton.connect("clicked()", self._onAdd)
        ui.studiesClearButton.connect("clicked()", self._onClear)
        ui.studiesStartButton.connect("clicked()", self._onStart)
        ui.studiesStopButton.connect("clicked()", self._studies.stop)
        ui.studiesSaveButton.connect("clicked()", self._onSave)
        self._onSource(ui.studiesSourceBox.currentIndex)

    def setParameterNode(self, node) -> None:
        if node is not None:
            self._studies.read()
        self.refresh()

    def refresh(self) -> None:
        self._showTable()
        self._showResults()
        ui, running = self._ui, self._studies.running
        waiting = any(study.entry.state != "done" for study in self._studies.studies)
        begun = any(study.entry.state != "waiting" for study in self._studies.studies)
        ui.studiesStartButton.text = _("Resume") if begun and waiting else _("Start")
        ui.studiesStartButton.enabled = waiting and not running and not self._logic.running
        ui.studiesStopButton.enabled = running
        ui.studiesAddButton.enabled = not running and not self._listing.running
        ui.studiesClearButton.enabled = bool(self._studies.studies) and not running
        ui.studiesSaveButton.enabled = begun
        ui.studiesLabel.text = html.escape(self._line())
        ui.studiesLabel.setVisible(bool(self._line()))
        if running != self._running:
            self._running = running
            self._panel.runChanged()  # other parts wait for the end of the queue too

    def cleanup(self) -> None:
        super().cleanup()
        self._listing.stop()
        self._studies.onChanged = None

    # What the user does

    def _onSource(self, source: int) -> None:
        self._ui.studiesSequenceSelector.setVisible(source == FRAMES)
        self._ui.studiesTreeWidget.setVisible(source == TREE)

    def _onAdd(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The studies could not be added.")), self._saying():
            source = self._ui.studiesSourceBox.currentIndex
            if source == TREE:
                self._lookThroughTree()
            else:
                self._added(self._loaded() if source == LOADED else self._frames())

    def _loaded(self) -> list[Study]:
        found = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if _isLoaded(node)]
        if not found:
            raise OptionError(
                _("No volume is loaded."), why=_("There is nothing to segment."), mend=_("Load some scans first.")
            )
        return [LoadedStudy(node) for node in found]

    def _frames(self) -> list[Study]:
        sequence = self._ui.studiesSequenceSelector.currentNode()
        if sequence is None or not frame_results.isSequenceOfVolumes(sequence):
            raise OptionError(
                _("No sequence of volumes is chosen."),
                why=_("Its frames must be volumes of grey values."),
                mend=_("Load a 4D image as a sequence (Add Data, Show Options), and choose it here."),
            )
        return [FrameStudy(sequence, index) for index in range(sequence.GetNumberOfDataNodes())]

    def _lookThroughTree(self) -> None:
        paths = {name: str(getattr(self._ui, name).currentPath or "").strip() for name in FOLDERS}
        for name, setting in FOLDERS.items():
            if not paths[name]:
                raise OptionError(
                    _("A folder is missing."),
                    why=_("Scans are read from one folder tree, and results go into another."),
                    mend=_("Choose both."),
                )
            qt.QSettings().setValue(setting, paths[name])
        self._output = Path(paths["studiesOutputEdit"])
        patterns = [part.strip() for part in self._ui.studiesPatternEdit.text.split(",") if part.strip()]
        bundle = self._parameters().bundle
        self._listing.start(Path(paths["studiesInputEdit"]), self._output, bundle, patterns, self._panel.externalPython)
        self._say(_("Looking through the folder …"))

    def _onListed(self, listing: Listing) -> None:
        if listing.trouble:
            self._say(listing.trouble)
            return
        with slicer.util.tryWithErrorDisplay(_("The studies could not be added.")), self._saying():
            parameters = self._parameters()
            studies = [FolderStudy(case, self._output) for case in listing.cases]
            for study in studies:
                study.lookAgain(parameters, studyRequest(parameters, Path()))  # what is done is shown as done
            self._added(studies, listing)

    def _added(self, studies: list[Study], listing: Listing | None = None) -> None:
        count = self._studies.add(studies)
        said = _("{count} added.").format(count=count)
        if count < len(studies):
            said += " " + _("{count} were in the queue already.").format(count=len(studies) - count)
        if listing is not None and listing.leftOut:
            path, why = listing.leftOut[0]
            said += " " + _("{count} left out, such as {name}: {why}.").format(
                count=len(listing.leftOut), name=Path(path).name, why=why
            )
        self._say(said)

    def _onClear(self) -> None:
        self._studies.clear()
        self._say("")

    def _onStart(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The studies could not be started.")), self._saying():
            self._said = ""
            self._studies.start(self._parameters(), self._panel.externalPython)

    def _parameters(self) -> Parameters:
        """What is asked for above.

        Raises:
            EfficientSegError: no model is chosen that can be used.
        """
        if self._panel.bundle is None:
            raise OptionError(
                _("No model is chosen."), why=_("The studies need one."), mend=_("Choose a model at the top.")
            )
        return self._panel.parameters()

    def _onSave(self) -> None:
        path = qt.QFileDialog.getSaveFileName(
            self._ui.studiesSaveButton, _("Save the results"), "results.csv", "CSV (*.csv)"
        )
        if path:
            with slicer.util.tryWithErrorDisplay(_("The results could not be saved.")), self._saying():
                with replacing(path) as part:
                    part.write_text(results.csv_text(self._studies.entries), encoding="utf-8", newline="")
                self._say(_("Written: {path}").format(path=path))

    # What is shown

    @contextmanager
    def _saying(self):
        """Errors meant for the user are said in this section."""
        try:
            yield
        except EfficientSegError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self._said = text
        self.refresh()

    def _line(self) -> str:
        if self._studies.studies and (self._studies.running or not self._said):
            counted = results.summary(self._studies.entries)
            return " ".join(part for part in (counted, self._studies.text) if part)
        return self._said

    def _showTable(self) -> None:
        rows = [
            (study.entry.case, study.entry.state, study.said or study.entry.error) for study in self._studies.studies
        ]
        if rows == self._shown:
            return
        table = self._ui.studiesTable
        table.setRowCount(len(rows))
        for number, (row, study) in enumerate(zip(rows, self._studies.studies)):
            if number >= len(self._shown) or row != self._shown[number]:
                self._showRow(number, study)
        self._shown = rows

    def _showRow(self, number: int, study: Study) -> None:
        entry = study.entry
        state = f"{SIGNS[entry.state]} {study.said or self._states[entry.state]}"
        tip = "\n".join(part for part in (entry.case, entry.input, entry.error, *entry.warnings) if part)
        for column, text in enumerate((entry.case, state)):
            item = qt.QTableWidgetItem(text)
            item.setFlags(qt.Qt.ItemFlag.ItemIsEnabled)
            item.setToolTip(tip)
            self._ui.studiesTable.setItem(number, column, item)

    def _showResults(self) -> None:
        node = studies_table.find()
        if any(study.entry.state in ("done", "stopped", "failed") for study in self._studies.studies):
            node = self._written()
        view = self._ui.studiesResults
        if view.mrmlTableNode() is not node:
            view.setMRMLTableNode(node)
        view.setVisible(node is not None)

    def _written(self):
        """The table node, written again only when an entry has changed."""
        entries = tuple(study.entry for study in self._studies.studies)
        node = studies_table.find()
        if node is None or entries != self._tabled:
            self._tabled = entries
            node = studies_table.show(entries)
        return node


def _isLoaded(node) -> bool:
    """True for a volume of grey values that the user can see in selectors, and that is no frame of a sequence."""
    if node.GetClassName() != "vtkMRMLScalarVolumeNode" or node.GetHideFromEditors():
        return False
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return not any(browser.IsProxyNodeID(node.GetID()) for browser in browsers)
