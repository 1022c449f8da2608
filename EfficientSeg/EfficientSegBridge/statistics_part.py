"""Statistics in the Result part of the panel: a table that fills itself, a table node, CSV, and the run record."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import qt

from EfficientSegBridge import save_dialog, statistics_rows, statistics_table
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.scene_record import SceneRecord, exportJson
from EfficientSegBridge.segment_parts import BINARY_LABELMAP
from EfficientSegBridge.statistics_rows import Row
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError

ROW_HEIGHT = 22
MOST_ROWS = 6  # shown without scrolling
RIGHT = int(qt.Qt.AlignmentFlag.AlignRight | qt.Qt.AlignmentFlag.AlignVCenter)
SAID_LATER = "…"


class StatisticsPart:
    """Measures the segmentation that is shown, in steps, whenever its voxels are other ones.

    Args:
        ui: the panel's widgets by name.
        panel: says errors.
    """

    def __init__(self, ui, panel) -> None:
        self._ui, self._panel = ui, panel
        self.rows: list[Row] = []  # measured last
        self._record = SceneRecord(None)
        self._volume = None
        self._measuredOf: object = None
        self._shownOf: object = None
        self._then: Callable[[], None] | None = None  # what was asked for while it was still measuring
        self._trouble = ""
        self._measured = False  # `rows` hold all numbers, not only what the worker has told
        self._steps = Steps(self._onTrouble)
        self._menu = self._makeMenu()
        header = ui.statisticsTable.horizontalHeader()
        for column in range(1, 5):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeMode.Stretch)

    def _makeMenu(self):
        menu = qt.QMenu(self._ui.statisticsButton)
        for text, deed in (
            (_("Show as table"), self.showTable),
            (_("Save as CSV …"), self.saveCsv),
            (_("Save run record as JSON …"), self.saveRecord),
        ):
            menu.addAction(text).connect("triggered()", deed)
        self._ui.statisticsButton.setMenu(menu)
        return menu

    @property
    def busy(self) -> bool:
        """True while it measures."""
        return self._steps.busy

    def show(self, record: SceneRecord, volumeNode, running: bool) -> None:
        """Show the statistics of a segmentation; nothing while a run changes it."""
        self._record, self._volume = record, volumeNode
        has = record.segmentation is not None and volumeNode is not None and not running
        self._ui.statisticsButton.enabled = has
        if not has:
            self._forget()
            return
        voxels = self._voxels()
        if voxels != self._measuredOf:
            self._begin(voxels)
        elif record.version != self._shownOf:
            self._again()

    def cleanup(self) -> None:
        self._forget()
        self._record, self._volume = SceneRecord(None), None

    # Measuring

    def _voxels(self) -> object:
        """Another one whenever there is something new to measure."""
        segmentation = self._record.segmentation.GetSegmentation()
        segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
        images = [segment.GetRepresentation(BINARY_LABELMAP) for segment in segments]
        state = tuple(
            (segment.GetName(), segment.GetLabelValue(), image.GetMTime() if image is not None else 0)
            for segment, image in zip(segments, images)
        )
        return (self._record.segmentation.GetID(), self._volume.GetID(), self._volume.GetImageData().GetMTime(), state)

    def _begin(self, voxels: object) -> None:
        self._measuredOf, self._trouble, self._measured = voxels, "", False
        self._steps.clear()
        self.rows = self._known()
        self._fill()
        self._steps.add(self._measuring())

    def _known(self) -> list[Row]:
        """What the worker has told already."""
        findings = self._record.findings
        return [
            Row("", findings.name(each.value), each.ml, None, None, statistics_rows.refinedShare(findings, each.value))
            for each in (findings.reviewed.segments if findings.reviewed else ())
            if each.ml > 0 and findings.label(each.value)
        ]

    def _measuring(self) -> Iterator[None]:
        self.rows = yield from statistics_table.measured(self._record.segmentation, self._volume, self._record.findings)
        self._measured = True
        self._fill()
        if statistics_table.tableNode(self._record.segmentation) is not None:
            self._writeTable()
        then, self._then = self._then, None
        if then:
            then()

    def _again(self) -> None:
        """Another record for the same voxels."""
        if self._measured:
            node, findings = self._record.segmentation, self._record.findings
            share = statistics_table.refinedShare
            self.rows = [replace(row, refined=share(node, row.segmentId, findings)) for row in self.rows]
        self._fill()

    def _onTrouble(self, error: Exception) -> None:
        self._then = None
        self.rows = []
        self._trouble = str(error) if isinstance(error, EfficientSegError) else repr(error)
        if not isinstance(error, EfficientSegError):
            logging.error("EfficientSeg: the statistics could not be measured: %s", error)
        self._fill()

    def _forget(self) -> None:
        self._steps.clear()
        self._then, self._measuredOf, self._shownOf = None, None, None
        self.rows, self._trouble = [], ""
        self._fill()

    # Showing

    def _fill(self) -> None:
        table = self._ui.statisticsTable
        self._shownOf = self._record.version
        findings = self._record.findings
        table.setRowCount(len(self.rows))
        for number, row in enumerate(self.rows):
            for column, (text, tip) in enumerate(_texts(row, findings, self._measured)):
                self._set(number, column, text, tip)
            table.setRowHeight(number, ROW_HEIGHT)
        rows = min(len(self.rows), MOST_ROWS)
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * ROW_HEIGHT + 4)
        table.setVisible(bool(self.rows))
        self._ui.statisticsLabel.text = self._trouble
        self._ui.statisticsLabel.setVisible(bool(self._trouble))

    def _set(self, row: int, column: int, text: str, tip: str) -> None:
        item = self._ui.statisticsTable.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            item.setFlags(qt.Qt.ItemFlag.ItemIsEnabled)
            if column:
                item.setData(qt.Qt.ItemDataRole.TextAlignmentRole, RIGHT)
            self._ui.statisticsTable.setItem(row, column, item)
        item.setText(text)
        item.setToolTip(tip)

    # What the user asks for

    def showTable(self) -> None:
        """The table node in a table view."""
        self._whenMeasured(lambda: statistics_table.show(self._writeTable()))

    def saveCsv(self) -> None:
        self._whenMeasured(self._saveCsv)

    def saveRecord(self) -> None:
        """The run record of the segmentation as JSON."""
        with self._panel.saying():
            if self._record.node is None:
                raise EfficientSegError(
                    _("There is no run record."),
                    why=_("This segmentation was not made by EfficientSeg, or by a version that kept none."),
                    mend=_("Segment again."),
                )
            name = _("{name} record").format(name=self._record.segmentation.GetName())
            path = save_dialog.askPath(_("Save the run record"), name, ".json", _("Run record"))
            if path:
                exportJson(self._record, path)
                self._panel.say(_("The run record was saved to {path}.").format(path=path))

    def _whenMeasured(self, deed: Callable[[], None]) -> None:
        if self._trouble:
            self._panel.say(self._trouble, "error")
        elif self._measured:
            deed()
        else:
            self._then = deed

    def _saveCsv(self) -> None:
        with self._panel.saying():
            name = _("{name} statistics").format(name=self._record.segmentation.GetName())
            path = save_dialog.askPath(_("Save the statistics"), name, ".csv", _("Table"))
            if path:
                findings = self._record.findings
                statistics_rows.writeCsv(
                    statistics_rows.csvText(self.rows, findings.modality, self._about(findings)), path
                )
                self._panel.say(_("The statistics were saved to {path}.").format(path=path))

    def _about(self, findings: Findings) -> dict[str, str]:
        read = _("{read} of {all}").format(read=findings.read, all=findings.candidates) if findings.candidates else ""
        return {_("Scan"): self._volume.GetName(), _("Model"): findings.bundle, _("Patches read"): read}

    def _writeTable(self):
        return statistics_table.writeTable(
            self.rows, self._record.findings.modality, self._record.segmentation, self._volume
        )


def _texts(row: Row, findings: Findings, measured: bool) -> list[tuple[str, str]]:
    """Text and tool tip of each cell."""
    unit = statistics_rows.unit(findings.modality)
    numbers = [SAID_LATER if not measured else "" if value is None else f"{value:.0f}" for value in _of(row)]
    tips = [_("Mean intensity"), _("Standard deviation of the intensity")]
    return [
        (row.name, row.name),
        (f"{row.ml:.1f}" if row.ml < 100 else f"{row.ml:.0f}", _("Volume in millilitres")),
        *((text, f"{tip} ({unit})" if unit else tip) for text, tip in zip(numbers, tips)),
        (row.detail, _("How much of its surface lies in patches that were read at full detail")),
    ]


def _of(row: Row) -> tuple[float | None, float | None]:
    return row.mean, row.deviation
