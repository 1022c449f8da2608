"""What the panel's first rows show: it follows from the question, the run under way and the result."""

from collections.abc import Callable

from EfficientSegBridge import preflight
from EfficientSegBridge.effort_row import EffortRow
from EfficientSegBridge.question import Question
from EfficientSegBridge.refine_here import RefineHere
from EfficientSegBridge.segment_button import SegmentButton
from EfficientSegBridge.structures_list import StructuresList
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.translation import _


class PanelState:
    """Writes widgets, and reads everything else.

    Args:
        ui: the panel's widgets by name.
        logic: an EfficientSegLogic.
        question: what is asked for now.
        effort: the Effort row.
        refine: the buttons of Refine here.
        installing: tells whether PyTorch is being installed.
    """

    def __init__(
        self, ui, logic, question: Question, effort: EffortRow, refine: RefineHere, installing: Callable[[], bool]
    ) -> None:
        self._ui, self._logic, self._question = ui, logic, question
        self._effort, self._refine, self._installing = effort, refine, installing
        self._button = SegmentButton(ui)
        self._structures = StructuresList(ui)

    @property
    def goal(self) -> int | None:
        """The place of the effort slider to which a click on More goes; None: the button is Segment."""
        return self._button.goal

    def setParameterNode(self, node) -> None:
        self._question.node = node
        self._structures.setParameterNode(node)

    def showEffort(self) -> None:
        question, node = self._question, self._question.node
        if node is None:
            return
        if question.hasOrder:
            self._effort.show(node.effort, question.pace(), question.reading(), question.morePace())
        else:
            self._effort.showWithoutOrder(node.effort)
        self._structures.show(question.bundle, question.hasOrder)

    def findings(self, torch: TorchState) -> list[preflight.Finding]:
        """What a look at the volume, the model and the machine says; nothing while the scene is closed."""
        node, choice = self._question.node, self._question.choice
        if node is None:
            return []
        bundle, trouble = (choice.bundle, choice.trouble) if choice else (None, "")
        return preflight.check(node.volume, bundle, torch, node.device, trouble)

    def show(self) -> None:
        """What can be clicked now, and what a click would do."""
        ui, question, node = self._ui, self._question, self._question.node
        running = self._logic.running
        ready = node is not None and node.volume is not None
        idle = ready and not running and not self._installing()
        place = node.effort if node is not None else 0
        self._button.show(idle, place, question.reading(), question.morePace())
        why = "" if question.hasOrder else _("This model reads every place at full detail.")
        self._refine.enable(ready and question.bundle is not None and not why, why)
        ui.anewButton.enabled = idle and self.goal is not None
        ui.stopButton.enabled = running
        ui.progressBar.setVisible(running)
        for widget in (ui.volumeSelector, ui.bundleSelector, ui.browseButton, ui.segmentationSelector):
            widget.setEnabled(not running)
        ui.effortSlider.enabled = not running and question.hasOrder
