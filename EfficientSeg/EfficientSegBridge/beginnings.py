"""What a click on Segment or More, or on a place in a view, begins."""

from dataclasses import replace

from EfficientSegBridge import efforts
from EfficientSegBridge.parameters import Listener, Parameters
from EfficientSegBridge.python_row import PythonRow
from EfficientSegBridge.question import Question
from EfficientSegLib.geometry import PatchBox


class Beginnings:
    """Begins runs of what is asked for.

    Args:
        logic: an EfficientSegLogic.
        question: what is asked for.
        python: the row with the external Python.
        listener: told of the runs.
    """

    def __init__(self, logic, question: Question, python: PythonRow, listener: Listener) -> None:
        self._logic, self._question, self._python, self._listener = logic, question, python, listener

    def segment(self, parameters: Parameters) -> None:
        """Segment from the beginning."""
        self._logic.startSegmentation(self._question.volume, parameters, self._listener, self._python.path)

    def more(self, place: int) -> None:
        """Read on, until so much is read as a place of the effort slider says."""
        loaded, self._question.node.effort = self._question.loaded(), place
        parameters = self._question.parameters()
        if loaded is None:
            self._logic.more(efforts.EFFORTS[place], parameters)
        else:
            self._logic.goOnLoaded(loaded, parameters, self._listener, self._python.path)

    def canRefine(self) -> bool:
        """True if a place can be read next of a result or of the run under way."""
        return self._logic.running or self._question.reading() is not None

    def refine(self, box: PatchBox) -> None:
        """Read a place next, of the result or of the run under way."""
        loaded = self._question.loaded()
        if loaded is None:
            self._logic.refineHere((box,))
        else:
            parameters = self._question.parameters().withWishes(first=(box,), onlyFirst=True)
            parameters = replace(parameters, patches=loaded.patches)
            self._logic.goOnLoaded(loaded, parameters, self._listener, self._python.path)
