"""The device test: the warm worker reads patches on each device, and the faster one is remembered."""

from collections.abc import Callable
from pathlib import Path

from EfficientSegBridge import device_choice, run_folder
from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.protocol import DeviceSpeed, Event, Failed, Finished, Measure, Measured


class DeviceTest:
    """One measurement at a time.

    Args:
        warmWorker: gives the WorkerProcess for the path of an external Python.
        onChanged: called when it begins, knows something new, and ends.
    """

    def __init__(self, warmWorker: Callable[[str], object], onChanged: Callable[[], None]) -> None:
        self._warmWorker, self._onChanged = warmWorker, onChanged
        self._worker = None
        self._folder: Path | None = None
        self._bundle: Bundle | None = None
        self._stopping = False
        self.trouble = ""  # why the last one came to nothing

    @property
    def running(self) -> bool:
        return self._worker is not None

    def start(self, bundle: Bundle, threads: int | None, externalPython: str) -> None:
        """Begin; the devices are remembered when it is over.

        Raises:
            OptionError: the worker is at work.
        """
        if self.running:
            return
        worker = self._warmWorker(externalPython)
        self._folder = run_folder.make()
        self._worker, self._bundle, self.trouble, self._stopping = worker, bundle, "", False
        worker.start(Measure(bundle.folder, threads, str(self._folder / "cancel")), self._onEvent)
        self._onChanged()

    def stop(self) -> None:
        """End after the patch in hand."""
        if self.running:
            self._stopping = True
            self._worker.cancel()

    def forget(self) -> None:
        """The section goes; the worker's answer is not waited for."""
        if self.running:
            self._worker.stop()
        self._end()

    def _onEvent(self, event: Event) -> None:
        if isinstance(event, Measured):
            device_choice.remember(event.devices, self._bundle.title)
        elif isinstance(event, Failed):
            stopped = self._stopping or event.cancelled
            said = " ".join(part for part in (event.what, event.why, event.mend) if part)
            self.trouble = _("The test was stopped.") if stopped else said
            self._end()
            self._onChanged()
        elif isinstance(event, Finished):
            self._end()
            self._onChanged()

    def _end(self) -> None:
        self._worker = None
        if self._folder is not None:
            run_folder.remove(self._folder)
            self._folder = None


def line(speed: DeviceSpeed, fastest: bool) -> str:
    """A device in words."""
    name = _("Processor ({title})").format(title=speed.title) if speed.device == "cpu" else speed.title
    if speed.trouble:
        return _("{name} does not work: {trouble}").format(name=name, trouble=speed.trouble)
    said = (
        _("{name}: {seconds:.2f} s per slice") if speed.unit == "slice" else _("{name}: {seconds:.2f} s per patch")
    ).format(name=name, seconds=speed.seconds or 0.0)
    return said + (_(", the faster one: device auto takes it") if fastest else "")
