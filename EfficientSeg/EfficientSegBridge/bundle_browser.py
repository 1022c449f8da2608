"""The browser behind the Model row: which models there are, what they are, and how they come and go."""

import html
from collections.abc import Callable
from pathlib import Path

import qt
import slicer

from EfficientSegBridge import bundle_words, bundles, theme, words
from EfficientSegBridge.bundle_fetcher import BundleFetcher
from EfficientSegBridge.bundles import Choice
from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import EfficientSegError
from EfficientSegLib.protocol import Failed, Pace
from EfficientSegLib.store import keeping
from EfficientSegLib.store.home import megabytes
from EfficientSegLib.store.messages import Event, Kept, Moving, Offered, Taken, Task

FILE = ROOT / "Resources" / "UI" / "BundleBrowser.ui"
ADD_FOLDER = "EfficientSeg/AddFolder"  # application setting: where the last one came from


class BundleBrowser:
    """A window of its own, made when it is first shown.

    Args:
        pace: what a run of a bundle takes on the chosen volume; None where it was not measured.
        isBusy: True while a run has the models.
        onUse: told the folder of the model that the user chooses.
        onChanged: told that there are others than before.
    """

    def __init__(
        self,
        pace: Callable[[Bundle], Pace | None],
        isBusy: Callable[[], bool],
        onUse: Callable[[str], None],
        onChanged: Callable[[], None],
    ) -> None:
        self._pace, self._isBusy, self._onUse, self._onChanged = pace, isBusy, onUse, onChanged
        self.dialog = self.ui = None
        self._all: list[Choice] = []
        self._choices: list[Choice] = []  # those that are listed
        self._fetcher = BundleFetcher(self._onMoving, self._onEnd)
        self._task: Task | None = None

    def show(self, folder: str = "") -> None:
        """Open it at the model of this folder."""
        if self.dialog is None:
            self._make()
        self._readAll(folder)
        self.dialog.show()
        self.dialog.raise_()
        self.ui.bundleSearchEdit.setFocus()

    def cleanup(self) -> None:
        """The module is unloaded."""
        self._fetcher.abandon()
        if self.dialog is not None:
            self.dialog.close()
            self.dialog.deleteLater()
            self.dialog = self.ui = None

    def _make(self) -> None:
        self.dialog = slicer.util.loadUI(str(FILE))
        window = slicer.util.mainWindow()
        if window is not None:
            self.dialog.setParent(window, self.dialog.windowFlags())  # it stays above the window, and goes with it
        ui = self.ui = slicer.util.childWidgetVariables(self.dialog)
        ui.bundleSearchEdit.connect("textChanged(QString)", lambda _text: self._fill(self._folder()))
        ui.bundleList.connect("currentRowChanged(int)", lambda _row: self._showChoice())
        ui.bundleList.connect("itemActivated(QListWidgetItem*)", lambda _item: self._onUseClicked())
        for name, slot in (
            ("Use", self._onUseClicked),
            ("Download", self._onDownload),
            ("Delete", self._onDelete),
            ("Open", self._onOpen),
            ("AddFile", self._onAddFile),
            ("AddFolder", self._onAddFolder),
            ("AddAddress", self._onAddAddress),
            ("Stop", self._onStop),
        ):
            getattr(ui, f"bundle{name}Button").connect("clicked()", slot)
        self._say("")

    # What is shown

    @property
    def choice(self) -> Choice | None:
        """The selected one."""
        row = self.ui.bundleList.currentRow
        return self._choices[row] if 0 <= row < len(self._choices) else None

    def _folder(self) -> str:
        return str(self.choice.folder) if self.choice else ""

    def _readAll(self, folder: str = "") -> None:
        """Look again which there are."""
        self._all = bundles.everything()
        self._fill(folder)

    def _fill(self, folder: str = "") -> None:
        """List what fits the search; select the one of this folder, else the first."""
        view, search = self.ui.bundleList, self.ui.bundleSearchEdit.text
        choices = [choice for choice in self._all if bundle_words.fits(choice, search)]
        blocked = view.blockSignals(True)
        view.clear()
        for choice in choices:
            view.addItem(bundle_words.line(choice))
        self._choices = choices
        rows = [row for row, choice in enumerate(choices) if str(choice.folder) == folder]
        view.setCurrentRow(rows[0] if rows else 0)
        view.blockSignals(blocked)
        self._showChoice()

    def _showChoice(self) -> None:
        ui, choice = self.ui, self.choice
        pace = self._pace(choice.bundle) if choice is not None and choice.bundle is not None else None
        nothing = html.escape(_("No model has all these words."))
        ui.bundleText.setHtml(bundle_words.page(choice, pace) if choice is not None else f"<p>{nothing}</p>")
        idle = not self._fetcher.running
        ui.bundleUseButton.enabled = choice is not None and choice.bundle is not None
        ui.bundleDownloadButton.enabled = idle and choice is not None and choice.offered is not None
        ui.bundleDeleteButton.enabled = idle and choice is not None and (choice.isUsers or choice.isLinked)
        linked = choice is not None and choice.isLinked
        ui.bundleDeleteButton.text = _("Remo&ve") if linked else _("De&lete …")
        ui.bundleOpenButton.enabled = choice is not None
        for button in (ui.bundleAddFileButton, ui.bundleAddFolderButton, ui.bundleAddAddressButton):
            button.enabled = idle
        for widget in (ui.bundleProgress, ui.bundleStopButton):
            widget.setVisible(not idle)

    def _say(self, text: str, level: str = "") -> None:
        sign = f"{theme.mark(level)} " if level and text else ""
        self.ui.bundleStatusLabel.text = sign + html.escape(text)
        self.ui.bundleStatusLabel.setVisible(bool(text))

    # What the user does

    def _onUseClicked(self) -> None:
        choice = self.choice
        if choice is None or choice.bundle is None:
            return
        if self._isBusy():
            self._say(_("A run is under way; choose another model once it has ended."), "warning")
            return
        self._onUse(str(choice.folder))
        self.dialog.close()

    def _onDownload(self) -> None:
        self._start(Task("look", self.choice.offered.weights.url), _("Asking how large it is …"))

    def _onAddFile(self) -> None:
        kinds = _("Models (*.zip *.json)")
        path = qt.QFileDialog.getOpenFileName(self.dialog, _("Add a model from a file"), _lastFolder(), kinds)
        self._add(path)

    def _onAddFolder(self) -> None:
        title = _("Choose the folder with bundle.json")
        self._add(qt.QFileDialog.getExistingDirectory(self.dialog, title, _lastFolder()))

    def _add(self, path: str) -> None:
        if path:
            qt.QSettings().setValue(ADD_FOLDER, str(Path(path).parent))
            self._start(Task("install", str(path)), _("Checking the model …"))

    def _onAddAddress(self) -> None:
        url = qt.QInputDialog.getText(self.dialog, _("Download a model"), _("Address of its .zip:"))
        if url and url.strip():
            self._start(Task("look", url.strip()), _("Asking how large it is …"))

    def _onDelete(self) -> None:
        choice = self.choice
        if choice.isLinked:
            bundles.takeOff(choice.folder)
            self._changed("")
            self._say(_("{title} is off the list; its files are where they were.").format(title=choice.title), "ok")
            return
        if self._isBusy():
            self._say(_("A run is under way; delete models once it has ended."), "warning")
            return
        question = _("Delete {title}?\n\nIts folder is removed: {folder}").format(
            title=choice.title, folder=choice.folder
        )
        if slicer.util.confirmYesNoDisplay(question, windowTitle=_("Delete a model"), parent=self.dialog):
            try:
                keeping.delete(choice.folder)
            except EfficientSegError as error:
                self._say(str(error), "error")
                return
            self._changed("")
            self._say(_("{title} was deleted.").format(title=choice.title), "ok")

    def _onOpen(self) -> None:
        if not qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.choice.folder))):
            self._say(_("The folder is {folder}").format(folder=self.choice.folder))

    def _onStop(self) -> None:
        self._fetcher.stop()
        self._say(_("Stopping …"))

    # What the other process does

    def _start(self, task: Task, said: str) -> None:
        self._task = task
        self._fetcher.start(task)
        self.ui.bundleProgress.setRange(0, 0)  # busy, until it is known how much there is
        self._showChoice()
        self._say(said)

    def _onMoving(self, event: Moving) -> None:
        if self.ui is None:
            return
        if event.total:
            self.ui.bundleProgress.setRange(0, 1000)
            self.ui.bundleProgress.value = round(1000 * event.done / event.total)
        self._say(progress(event))

    def _onEnd(self, event: Event) -> None:
        if self.ui is None:
            return
        task = self._task
        self._showChoice()
        self._say("")
        if isinstance(event, Offered):
            self._confirmDownload(task, event)
        elif isinstance(event, Taken):
            if slicer.util.confirmYesNoDisplay(
                _("{what}\n\nReplace it?").format(what=event.what), windowTitle=_("Add a model"), parent=self.dialog
            ):
                self._start(Task(task.do, task.source, replace=True), _("Checking the model …"))
        elif isinstance(event, Kept):
            self._changed(event.folder)
            self._say(_("{title} is here.").format(title=event.title), "ok")
        elif isinstance(event, Failed):
            self._say(words.failure(event), "warning" if event.cancelled else "error")

    def _confirmDownload(self, task: Task, offer: Offered) -> None:
        size = megabytes(offer.size) if offer.size else _("an unknown amount")
        question = _("Download {size} from {host}?").format(size=size, host=offer.host)
        if not slicer.util.confirmYesNoDisplay(question, windowTitle=_("Download a model"), parent=self.dialog):
            return
        waiting = [one for one in self._all if one.offered and one.offered.weights.url == task.source]
        next_ = Task("weights", str(waiting[0].folder)) if waiting else Task("download", task.source)
        self._start(next_, _("Downloading …"))

    def _changed(self, folder: str) -> None:
        self.ui.bundleSearchEdit.text = ""
        self._readAll(folder)
        self._onChanged()


def progress(event: Moving) -> str:
    """One line: Downloading, 12.0 MB of 40.0 MB."""
    stages = {"download": _("Downloading"), "check": _("Comparing the checksum"), "unpack": _("Copying")}
    if event.stage == "check" or not event.done:
        return stages.get(event.stage, event.stage)
    done = megabytes(event.done)
    if event.total:
        done = _("{done} of {total}").format(done=done, total=megabytes(event.total))
    return _("{stage}, {done}").format(stage=stages.get(event.stage, event.stage), done=done)


def _lastFolder() -> str:
    return str(qt.QSettings().value(ADD_FOLDER) or Path.home())
