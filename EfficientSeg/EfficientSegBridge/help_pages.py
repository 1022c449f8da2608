"""The pages of Resources/Help in the panel: a button for each, and one viewer, which shows the page last asked for."""

import qt

from EfficientSegBridge import theme
from EfficientSegLib.environment import ROOT

FOLDER = ROOT / "Resources" / "Help"
TUTORIAL = "tutorial.html"
TROUBLESHOOTING = "troubleshooting.html"


def pageText(name: str) -> str:
    """A page as the viewer needs it: links that can be read on a dark ground too, pictures found beside the page."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    text = text.replace("<a href=", f'<a style="color:{theme.LINK}" href=')
    return text.replace('<img src="', f'<img src="{FOLDER.as_uri()}/')


class HelpPages:
    """Shows one page at a time.

    Args:
        browser: the text browser.
        buttons: page name to its checkable button.
    """

    def __init__(self, browser, buttons: dict[str, object]) -> None:
        self._browser, self._buttons = browser, buttons
        self._shown = ""
        browser.setVisible(False)
        for name, button in buttons.items():
            button.connect("toggled(bool)", lambda on, name=name: self.show(name) if on else self.hide(name))

    def show(self, name: str, topic: str = "") -> None:
        """Open a page in place of any other, at a topic where one is named.

        Raises:
            OSError: the page is not where it was installed.
        """
        if self._shown != name:
            self._browser.setHtml(pageText(name))
            self._shown = name
        self._browser.setVisible(True)
        for other, button in self._buttons.items():
            blocked = button.blockSignals(True)  # only what the user toggles is answered
            button.checked = other == name
            button.blockSignals(blocked)
        if topic:
            qt.QTimer.singleShot(0, lambda: self._browser.scrollToAnchor(topic))  # once it has its size

    def hide(self, name: str) -> None:
        """Close this page; another one that is shown stays."""
        if self._shown == name:
            self._browser.setVisible(False)
            self._buttons[name].checked = False
