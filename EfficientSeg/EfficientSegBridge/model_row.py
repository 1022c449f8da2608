"""The Model row: the bundles that there are, and the one that is chosen."""

import html
from collections.abc import Callable
from pathlib import Path

import qt

from EfficientSegBridge import bundles, words
from EfficientSegBridge.translation import _


class ModelRow:
    """Lists bundles; which one is chosen is the parameter node's affair.

    Args:
        ui: the panel's widgets by name.
        onChosen: told the folder that the user has chosen.
    """

    def __init__(self, ui, onChosen: Callable[[str], None]) -> None:
        self._ui, self._onChosen = ui, onChosen
        self._choices: list[bundles.Choice] = []
        ui.bundleSelector.connect("activated(int)", self._onActivated)
        self.fill()

    def fill(self) -> None:
        """Look again which bundles there are."""
        self._choices = bundles.choices()
        selector = self._ui.bundleSelector
        selector.clear()
        for index, choice in enumerate(self._choices):
            selector.addItem(choice.title if choice.bundle else _("{name} (unusable)").format(name=choice.title))
            selector.setItemData(index, _tip(choice), qt.Qt.ItemDataRole.ToolTipRole)

    def choice(self, folder: str) -> bundles.Choice | None:
        """The bundle of this folder; a scene from elsewhere finds it by its folder's name, else the first is taken."""
        said = Path(folder) if folder else None
        for fits in (lambda choice: choice.folder == said, lambda choice: said and choice.folder.name == said.name):
            for choice in self._choices:
                if fits(choice):
                    return choice
        return self._choices[0] if self._choices else None

    def show(self, folder: str) -> None:
        choice = self.choice(folder)
        if choice is not None:
            self._ui.bundleSelector.currentIndex = self._choices.index(choice)
            self._ui.bundleSelector.toolTip = _tip(choice)

    def _onActivated(self, index: int) -> None:
        self._onChosen(str(self._choices[index].folder))


def _tip(choice: bundles.Choice) -> str:
    """As rich text: Slicer makes every tool tip that, and plain lines would run together."""
    said = words.bundleTip(choice.bundle) if choice.bundle else choice.trouble
    return f"<qt>{'<br>'.join(html.escape(line) for line in said.splitlines())}</qt>"
