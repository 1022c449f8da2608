"""The Review part of the panel: from place to place, accept, back to coarse, or into the Segment Editor."""

import logging
from collections.abc import Iterator

import qt
import slicer

from EfficientSegBridge import review_words, swap_labels, world
from EfficientSegBridge.changes import Changes
from EfficientSegBridge.editor_hand_off import openEditor
from EfficientSegBridge.findings import Findings
from EfficientSegBridge.findings_section import FindingsSection
from EfficientSegBridge.highlight import Highlight
from EfficientSegBridge.place_words import PlaceWords
from EfficientSegBridge.review import ALL, Review
from EfficientSegBridge.review_table import ReviewTable
from EfficientSegBridge.scene_record import REVIEW
from EfficientSegBridge.segment_layers import segmentIds
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.translation import _

# Keys work while this part of the panel is to be seen: a shortcut of a hidden widget is silent.
KEYS = {
    "reviewNextButton": "N",
    "reviewPreviousButton": "P",
    "acceptButton": "A",
    "rejectButton": "X",
    "editHereButton": "E",
}


class ReviewSection(FindingsSection):
    """Shows the places of the segmentation's record, and keeps there what was decided."""

    UI = "Review.ui"

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._shownVersion: object = None
        self._shown = Findings()
        self._review = Review(())
        self._said = ""  # about the latest decision
        self._places: PlaceWords | None = None
        self._placesOf: object = None
        self._table = ReviewTable(ui.reviewTable, self._goTo)
        self._highlight = Highlight()
        self._steps = Steps(self._onTrouble)
        ui.reviewStructureSelector.connect("currentIndexChanged(int)", self._onStructure)
        ui.reviewNextButton.connect("clicked()", lambda: self._goTo(self._review.following(1)))
        ui.reviewPreviousButton.connect("clicked()", lambda: self._goTo(self._review.following(-1)))
        ui.acceptButton.connect("clicked()", self._onAccept)
        ui.rejectButton.connect("clicked()", self._onReject)
        ui.editHereButton.connect("clicked()", self._onEdit)
        ui.reviewButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        self._shortcuts = [self._shortcut(button, key) for button, key in KEYS.items()]

    def _shortcut(self, button: str, key: str):
        widget = getattr(self._ui, button)
        shortcut = qt.QShortcut(widget)
        shortcut.setKey(qt.QKeySequence(key))
        shortcut.connect("activated()", lambda: widget.click())
        return shortcut

    def refresh(self) -> None:
        if self.version != self._shownVersion:
            self._shownVersion = self.version
            self._load()
        self._showButtons()

    def cleanup(self) -> None:
        super().cleanup()
        self._steps.clear()
        self._highlight.hide()
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)

    # What is shown

    def _load(self) -> None:
        findings = self.findings
        if findings.places != self._shown.places:
            self._said = ""
            self._highlight.hide()
        self._shown = findings
        self._review = Review(() if self.isLive else findings.places, self.record.review)
        self._fillStructures()
        self._begin()
        self._show()

    def _fillStructures(self) -> None:
        selector, before = self._ui.reviewStructureSelector, self._ui.reviewStructureSelector.currentData
        names = [(_("All structures"), ALL)]
        for value in self._review.values:
            count = sum(place.value == value for place in self._review.places)
            names.append((f"{self._shown.name(value)} ({count})", value))
        wasBlocked = selector.blockSignals(True)
        selector.clear()
        for name, value in names:
            selector.addItem(name, value)
        selector.setCurrentIndex(max(selector.findData(before), 0))
        selector.blockSignals(wasBlocked)
        self._review.show(selector.currentData)

    def _show(self) -> None:
        review, ui = self._review, self._ui
        has = bool(review.places)
        ui.reviewExplanationLabel.text = review_words.explanation() if has else review_words.nothing(self._shown)
        ui.reviewExplanationLabel.toolTip = review_words.explanationTip() if has else ""
        for widget in (ui.reviewStructureSelector, ui.reviewProgressLabel, ui.reviewProgressBar, ui.reviewButtons):
            widget.setVisible(has)
        ui.reviewProgressLabel.text = review_words.progress(review)
        ui.reviewProgressBar.maximum = max(len(review.listed), 1)
        ui.reviewProgressBar.value = review.seen
        self._table.fill(review, self._where)
        self._showDetail()
        self._showButtons()

    def _showDetail(self) -> None:
        place, label = self._review.place, self._ui.reviewDetailLabel
        if place is not None:
            state = review_words.stateWords(self._review.state(self._review.current))
            parts = (review_words.detail(place, self._where(self._review.current)), state, self._said)
            label.text = " ".join(part for part in parts if part)
        label.setVisible(place is not None)

    def _showButtons(self) -> None:
        ui, place = self._ui, self._review.place
        idle = place is not None and self.volume is not None and not self._logic.running
        ui.acceptButton.enabled = idle
        ui.editHereButton.enabled = idle
        moves = self._moves() if idle else None
        ui.rejectButton.enabled = moves is not None and moves.index.size > 0
        ui.rejectButton.toolTip = self._rejectTip(idle, moves)
        some = bool(self._review.listed)
        ui.reviewNextButton.enabled = ui.reviewPreviousButton.enabled = some

    def _rejectTip(self, idle: bool, moves: Changes | None) -> str:
        if idle and moves is None:
            return review_words.noCoarse(self.record.kept)
        if idle and not moves.index.size:
            return _("Refinement changed nothing of this structure here: it is coarse already.")
        return _("Go back to the coarse labels here. What was edited since stays. Accept undoes it. Key: X")

    def _where(self, index: int) -> str:
        place = self._review.places[index]
        return self._places.say(place.box, place.value) if self._places else self._shown.name(place.value)

    # Only while it is open: places in words

    def _onCollapsed(self, collapsed: bool) -> None:
        if collapsed:
            self._highlight.hide()
        else:
            self._begin()
            self._show()

    def _begin(self) -> None:
        segmentation, volume = self.segmentation, self.volume
        if self._ui.reviewButton.collapsed or not self._review.places or segmentation is None or volume is None:
            return
        placesOf = (segmentation.GetID(), self._review.places)
        if placesOf != self._placesOf:
            self._placesOf = placesOf
            self._places = None
            self._steps.clear()
            self._steps.add(self._saying(PlaceWords(segmentation, volume, self._shown), self._review))

    def _saying(self, places: PlaceWords, review: Review) -> Iterator[None]:
        yield from places.preparing()
        self._places = places
        for index, place in enumerate(review.places):
            self._table.setWhere(index, places.say(place.box, place.value))
            yield
        self._showDetail()

    def _onTrouble(self, error: Exception) -> None:
        logging.error("EfficientSeg: the places of the review cannot be said: %s", error)

    # What the user does

    def _onStructure(self, _index: int) -> None:
        self._review.show(self._ui.reviewStructureSelector.currentData)
        self._show()

    def _goTo(self, index: int) -> None:
        """Look at a place: it is seen, the views jump there, its box is lit."""
        self._said = ""
        self._review.goTo(index)
        volume, place = self.volume, self._review.place
        if place is None or volume is None:
            self._highlight.hide()
        else:
            self._highlight.show(place.box, volume)
            world.jumpTo(volume, place.box)
        self._keep()

    def _onAccept(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The place could not be accepted.")), self._panel.saying():
            said = ""
            if self._review.state(self._review.current) == "rejected":
                said = self._swap(self._moves().reversed(), toCoarse=False)
            self._decide("accepted", said)

    def _onReject(self) -> None:
        with slicer.util.tryWithErrorDisplay(_("The place could not be rejected.")), self._panel.saying():
            self._decide("rejected", self._swap(self._moves(), toCoarse=True))

    def _decide(self, state: str, said: str) -> None:
        """Write the decision down and go on; where something is to be said of it, stay."""
        self._review.decide(state)
        following = self._review.nextOpen()
        if said or following < 0:
            self._said = said
            self._keep()
        else:
            self._goTo(following)

    def _onEdit(self) -> None:
        place, segmentation = self._review.place, self.segmentation
        with slicer.util.tryWithErrorDisplay(_("The Segment Editor could not be opened.")):
            self._review.decide("edited")
            self._keep()
            segmentId = segmentIds(segmentation, self._shown.bundle).get(place.value, "")
            self._highlight.hide()
            openEditor(segmentation, self.volume, segmentId, place.box)

    def _moves(self) -> Changes | None:
        """The voxels of this place that reject would change; None where the coarse labels are not known."""
        run = self._run
        changes = run.keeper.changes if run is not None and run.keeper is not None else None
        if changes is None or run.segments.node is not self.segmentation:
            changes = self.record.changes
        place = self._review.place
        return changes.inside(place.box, place.value) if changes is not None and place is not None else None

    def _swap(self, moves: Changes, toCoarse: bool) -> str:
        outcome = swap_labels.swap(self.segmentation, self.volume, self._shown, moves)
        self._panel.runChanged()
        return review_words.swapped(outcome, toCoarse)

    def _keep(self) -> None:
        """Write the state into the scene's record, and show it."""
        if self.record.node is not None:
            self.record.write(**{REVIEW: self._review.toJson()})
            self._shownVersion = self.version
        self._show()
