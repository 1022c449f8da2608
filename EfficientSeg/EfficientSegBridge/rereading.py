"""Reads again what a loaded result was made of, because a scene does not keep it. Nothing is shown or written
meanwhile, so that the loaded result stands until the worker is as far as it was.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from EfficientSegBridge.loaded_result import LoadedResult
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.volume_image import copied
from EfficientSegLib.geometry import ScoredBox, whole
from EfficientSegLib.protocol import Event, Finished, Partial, Patches, Request, Started

FOLDER = "again"  # in the run's folder


class Rereading:
    """The first part of a run that goes on from a loaded result.

    Args:
        loaded: the result.
        parameters: of the whole run.
    """

    def __init__(self, loaded: LoadedResult, parameters: Parameters) -> None:
        self.loaded, self._parameters = loaded, parameters
        self.coarse: np.ndarray | None = None  # labels before any patch, (I, J, K)
        self.labels: np.ndarray | None = None  # as the worker has said them for the loaded result
        self._patches: tuple[ScoredBox, ...] = ()
        self._read = 0
        self._precision = ""

    @property
    def share(self) -> float:
        """How much of the whole run it is, 0 to 1."""
        found, wanted = self.loaded.findings, self._parameters.patches
        goal = found.candidates if wanted is None else min(wanted, found.candidates)
        return found.read / max(goal, found.read, 1)

    @property
    def isSame(self) -> bool:
        """True if the same was read again, so that the user's changes can be told apart."""
        return self.loaded.isSame(self._patches, self._read, self._precision)

    def request(self, folder: Path) -> Request:
        """What the worker is asked for.

        Args:
            folder: of the run, which holds input.nrrd.
        """
        own = folder / FOLDER
        own.mkdir()
        request = self.loaded.again(self._parameters).request(own)
        return replace(request, input=str(folder / "input.nrrd"), tokens=False)

    def learn(self, event: Event) -> None:
        """Take note of what is told in a word."""
        if isinstance(event, Started):
            self._precision = event.precision
        elif isinstance(event, Patches):
            self._patches = event.boxes

    def taking(self, event: Partial) -> Iterator[None]:
        """Keep the coarse labels, which come first."""
        if self.coarse is None:
            labels = np.load(event.labels, mmap_mode="r")
            if event.box == whole(labels.shape) and event.patches_read == 0:
                self.coarse = yield from copied(labels)

    def finishing(self, event: Finished) -> Iterator[None]:
        """Keep the labels: their file is gone once the run goes on.

        Raises:
            OSError: they cannot be read.
            ValueError: they are no labels.
        """
        self._read = event.patches_read
        self.labels = yield from copied(np.load(event.labels, mmap_mode="r"))
