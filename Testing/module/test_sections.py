"""The panel's parts: their order in the column, and that each hears of runs, scenes and the end."""

import unittest

from test_widget import WidgetCase

from EfficientSegBridge import sections
from EfficientSegBridge.section import Section


class Listening(Section):
    """Notes what it is told."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self.told: list[str] = []

    def setParameterNode(self, node) -> None:
        self.told.append("node" if node is not None else "no node")

    def setRun(self, run) -> None:
        self.told.append("run" if run is not None else "no run")

    def setSegmentation(self, node) -> None:
        self.told.append("segmentation" if node is not None else "no segmentation")


class TestSections(WidgetCase):
    def test_they_stand_above_advanced_in_their_order(self) -> None:
        column = self.widget.uiWidget.layout()
        buttons = ("resultButton", "whyButton")
        places = [column.indexOf(getattr(self.ui, name).parentWidget()) for name in buttons]
        places.append(column.indexOf(self.ui.advancedButton))
        self.assertEqual(places, sorted(places))
        self.assertNotIn(-1, places)
        self.assertIn("resultButton", [kind.UI[:-3].lower() + "Button" for kind in sections.SECTIONS if kind.UI])

    def test_a_section_hears_of_runs_and_scenes(self) -> None:
        section = Listening(self.ui, self.logic, self.panel)
        self.panel._sections.append(section)
        self.addCleanup(self.panel._sections.remove, section)
        self.segment()
        self.assertIn("run", section.told)
        self.waitForEnd()
        self.assertIn("segmentation", section.told)
        self.panel.setParameterNode(None)
        self.panel.forgetScene()
        self.assertEqual(section.told[-3:], ["no node", "no run", "no segmentation"])


if __name__ == "__main__":
    unittest.main()
