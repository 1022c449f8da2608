"""The parts of the panel between Stop and Advanced, in their order, each in a file of its own."""

import slicer

from EfficientSegBridge.blink_part import BlinkPart
from EfficientSegBridge.compare_section import CompareSection
from EfficientSegBridge.result_section import ResultSection
from EfficientSegBridge.review_section import ReviewSection
from EfficientSegBridge.section import Section
from EfficientSegBridge.setup_section import SetUpSection
from EfficientSegBridge.studies_section import StudiesSection
from EfficientSegBridge.tokens_part import TokensPart
from EfficientSegBridge.why_section import WhySection
from EfficientSegLib.environment import ROOT

# From top to bottom. A new part: its class here, and its .ui file named by `UI`.
SECTIONS: tuple[type[Section], ...] = (
    ResultSection,
    BlinkPart,
    WhySection,
    TokensPart,
    ReviewSection,
    CompareSection,
    StudiesSection,
    SetUpSection,
)
FOLDER = ROOT / "Resources" / "UI"


def place(root, ui) -> None:
    """Load the .ui files of all sections, put them above Advanced, and add their widgets to `ui` by name.

    Args:
        root: the widget of EfficientSeg.ui, whose layout is the panel's column.
        ui: its widgets by name.
    """
    column = root.layout()
    for kind in SECTIONS:
        if kind.UI:
            widget = slicer.util.loadUI(str(FOLDER / kind.UI))
            column.insertWidget(column.indexOf(ui.advancedButton), widget)
            for name, child in vars(slicer.util.childWidgetVariables(widget)).items():
                setattr(ui, name, child)
            widget.setMRMLScene(slicer.mrmlScene)


class Sections(list):
    """All sections, told together."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(kind(ui, logic, panel) for kind in SECTIONS)

    def setParameterNode(self, node) -> None:
        for section in self:
            section.setParameterNode(node)

    def setRun(self, run) -> None:
        for section in self:
            section.setRun(run)

    def setSegmentation(self, node) -> None:
        for section in self:
            section.setSegmentation(node)

    def refresh(self) -> None:
        for section in self:
            section.refresh()

    def cleanup(self) -> None:
        for section in self:
            section.cleanup()
