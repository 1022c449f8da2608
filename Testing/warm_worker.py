"""A worker without its process: requests one after the other in this one, on a bundle and a scan that are there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from EfficientSegLib import job
from EfficientSegLib.kept import ModelKeeper, RunKeeper
from EfficientSegLib.protocol import Event, Finished, Progress, Request


def request_in(inputs: Path, output: Path, bundle: str = "bundle", **fields: Any) -> Request:
    """What is asked of `ct.nrrd` and a bundle in the folder `inputs`: on the CPU, with one thread, and kept."""
    usual = {"device": "cpu", "threads": 1, "save_segmentation": False, "keep": True}
    return Request(str(inputs / "ct.nrrd"), str(output), str(inputs / bundle), **{**usual, **fields})


class Warm:
    """Keeps the model, and what the runs ask to keep."""

    def __init__(self) -> None:
        self.models, self.runs = ModelKeeper(), RunKeeper()
        self.events: list[Event] = []  # of the last run

    def ask(
        self, request: Request, stop_after: int | None = None, emit: Callable[[Event], None] = lambda event: None
    ) -> Finished:
        """Do what a request says.

        Args:
            stop_after: patches, then the run is asked to stop.
            emit: told each event, after it was noted.
        """
        self.events = []

        def heard(event: Event) -> None:
            self.events.append(event)
            emit(event)

        def should_stop() -> bool:
            read = [event.done for event in self.of(Progress) if event.stage == "patches"]
            return stop_after is not None and max(read, default=0) >= stop_after

        return job.run(request, heard, self.models, should_stop, self.runs).finished

    def of(self, kind: type) -> list:
        """The last run's events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
