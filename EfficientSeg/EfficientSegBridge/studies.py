"""Many studies, one after the other in the warm worker: a queue that goes on after a failure, stops and resumes."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import qt

from EfficientSegBridge import run_folder, words
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.steps import Steps
from EfficientSegBridge.study_kinds import FolderStudy, Study, studyRequest
from EfficientSegBridge.study_store import StudyStore
from EfficientSegBridge.translation import _
from EfficientSegLib.errors import EfficientSegError, OptionError
from EfficientSegLib.failures import explain
from EfficientSegLib.protocol import Event, Failed, Finished, Progress
from EfficientSegLib.studies.books import Books
from EfficientSegLib.studies.case import Entry


class Studies:
    """The queue of the scene.

    Args:
        warmWorker: gives the WorkerProcess for the path of an external Python.
        isBusy: True while the worker is at a run of its own.
    """

    def __init__(self, warmWorker: Callable[[str], object], isBusy: Callable[[], bool] = lambda: False) -> None:
        self.studies: list[Study] = []
        self.onChanged: Callable[[], None] | None = None
        self.text = ""  # how the queue goes
        self.running = False
        self._warmWorker, self._isBusy = warmWorker, isBusy
        self._worker = None
        self._parameters: Parameters | None = None
        self._current: Study | None = None
        self._books: dict[Path, Books] = {}
        self._folder: Path | None = None
        self._stopping = False
        self._store = StudyStore()
        self._steps = Steps(self._broken)
        self._nextTimer = qt.QTimer()  # the worker's last event comes from inside its process's slot
        self._nextTimer.setSingleShot(True)
        self._nextTimer.setInterval(0)
        self._nextTimer.timeout.connect(self._next)

    @property
    def entries(self) -> list[Entry]:
        return [study.entry for study in self.studies]

    def add(self, studies: Iterable[Study]) -> int:
        """Put studies at the end; those that are in the queue already are passed over. How many came.

        A loaded volume that is done may be queued anew: its next result is a segmentation of its own.
        """
        known = {study.key for study in self.studies if isinstance(study, FolderStudy) or study.entry.state != "done"}
        fresh = [study for study in studies if study.key not in known]
        self.studies += fresh
        self._changed()
        return len(fresh)

    def clear(self) -> None:
        """Empty the queue; results stay where they are."""
        if not self.running:
            self.studies = []
            self.text = ""
            self._changed()

    def read(self) -> None:
        """Take up the queue that the scene holds, if there is none here: after a reload of the module or the scene."""
        if not self.studies and not self.running:
            self.studies = self._store.read()
            self._tell()

    def start(self, parameters: Parameters, externalPython: str = "") -> None:
        """Work off what is not done, failures of earlier times too.

        Raises:
            EfficientSegError: a run is under way, there is nothing to do, or an output folder cannot be used.
        """
        if self.running:
            return
        if self._isBusy():
            raise OptionError(
                _("A run is under way."),
                why=_("One volume is segmented at a time, in one background process."),
                mend=_("Wait until it has ended, or stop it."),
            )
        request = studyRequest(parameters, Path())
        for study in self.studies:
            if isinstance(study, FolderStudy):
                study.lookAgain(parameters, request)
            elif study.entry.state != "done":
                study.entry = Entry(study.entry.case, study.entry.input)
        if not any(study.entry.state != "done" for study in self.studies):
            self._changed()
            raise OptionError(
                _("Nothing is left to do."),
                why=_("The queue is empty, or all of it is done with this model and effort."),
                mend=_("Add studies first."),
            )
        worker = self._warmWorker(externalPython)
        self._openBooks(parameters)
        self._parameters, self._worker = parameters, worker
        self.running, self._stopping, self.text = True, False, ""
        self._changed()
        self._nextTimer.start()

    def stop(self) -> None:
        """End after the patch in hand; what is done is kept, and Start goes on with the rest."""
        if self.running and not self._stopping:
            self._stopping = True
            self.text = _("Stopping after this patch")
            if self._current is not None:
                self._worker.cancel()
            self._tell()

    def forget(self) -> None:
        """The scene or the application closes: end now; the scene's own copy of the queue is left as it is."""
        if self.running:
            self._worker.stop()
        self._steps.clear()
        self._nextTimer.stop()
        self._leave()
        self.running, self._current, self.studies, self.text = False, None, [], ""
        self._closeBooks()
        self._tell()

    def refuseOthers(self) -> None:
        """Raises OptionError while the queue has the worker."""
        if self.running:
            raise OptionError(
                _("More studies is at work."),
                why=_("One volume is segmented at a time, in one background process."),
                mend=_("Wait until the queue has ended, or click Stop in More studies; Resume goes on later."),
            )

    # One study

    def _next(self) -> None:
        while not self._stopping:
            study = next((one for one in self.studies if one.entry.state == "waiting"), None)
            if study is None:
                break
            try:
                self._folder = run_folder.make()
                request = study.prepare(self._folder, studyRequest(self._parameters, self._folder), self._parameters)
                self._put(study, replace(study.entry, state="running"))
            except (EfficientSegError, OSError) as error:
                self._leave()
                self._put(study, study.entry.failed(explain(error)))
                continue
            self._current = study
            self._worker.start(request, self._onEvent)
            return
        self._finish()

    def _onEvent(self, event: Event) -> None:
        study = self._current
        if study is None:
            return
        if isinstance(event, Progress):
            study.said = words.stage(event)
            self._tell()
        elif isinstance(event, Finished):
            self._steps.add(self._accepting(study, event))
        elif isinstance(event, Failed):
            failed = replace(event, cancelled=event.cancelled or self._stopping)
            self._end(study, study.entry.failed(failed))

    def _accepting(self, study: Study, finished: Finished) -> Iterator[None]:
        record = _record(finished)
        try:
            yield from study.accepting(finished, self._parameters)
            entry = replace(
                study.entry,
                state="done" if finished.complete else "stopped",
                seconds=finished.seconds,
                volumes_ml=dict(record.get("volumes_ml", {})),
                warnings=tuple(record.get("warnings", ())),
            )
        except (EfficientSegError, OSError, ValueError) as error:
            entry = study.entry.failed(explain(error))
        self._end(study, entry)

    def _broken(self, error: Exception) -> None:
        """A step went wrong in a way that nobody foresaw: that study has failed, the rest goes on."""
        if self._current is not None:
            self._end(self._current, self._current.entry.failed(explain(error)))

    def _end(self, study: Study, entry: Entry) -> None:
        self._current, study.said = None, ""
        self._leave()
        self._put(study, entry)
        self._nextTimer.start()

    def _put(self, study: Study, entry: Entry) -> None:
        study.entry = entry
        books = self._books.get(study.output) if isinstance(study, FolderStudy) else None
        if books is not None:
            try:
                study.entry = books.put(entry)
            except EfficientSegError as error:  # the disk of the results is full: the next studies will say so too
                self.text = str(error)
        self._changed()

    def _finish(self) -> None:
        self.running = False
        said = self._closeBooks()
        self.text = said or (_("Stopped. What was done is kept.") if self._stopping else "")
        self._changed()

    def _leave(self) -> None:
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None

    # The books of output folders

    def _openBooks(self, parameters: Parameters) -> None:
        byFolder: dict[Path, list[Entry]] = {}
        for study in self.studies:
            if isinstance(study, FolderStudy):
                byFolder.setdefault(study.output, []).append(study.entry)
        try:
            for folder, entries in byFolder.items():
                books = Books(folder, parameters.bundle.title, entries, self._say)
                books.open()
                self._books[folder] = books
        except EfficientSegError:
            self._closeBooks()
            raise

    def _closeBooks(self) -> str:
        """What could not be written at the end, in words."""
        said = ""
        for books in self._books.values():
            try:
                books.close()
            except EfficientSegError as error:
                said = str(error)
        self._books = {}
        return said

    def _say(self, text: str) -> None:
        self.text = text

    def _changed(self) -> None:
        self._store.write(self.studies)
        self._tell()

    def _tell(self) -> None:
        if self.onChanged:
            self.onChanged()


def _record(finished: Finished) -> dict:
    try:
        return json.loads(Path(finished.record).read_text(encoding="utf-8")) if finished.record else {}
    except (OSError, ValueError):
        return {}
