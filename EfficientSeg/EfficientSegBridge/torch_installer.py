"""Installing PyTorch from the panel: asked first, said while it lasts, once at a time."""

from collections.abc import Callable

import slicer

from EfficientSegBridge import packages
from EfficientSegBridge.translation import _


class TorchInstaller:
    """Installs PyTorch into Slicer's own Python.

    Args:
        say: shows a line to the user.
        onChanged: called when it begins and when it is over.
    """

    def __init__(self, say: Callable[[str], None], onChanged: Callable[[], None]) -> None:
        self._say, self._onChanged = say, onChanged
        self.running = False

    def run(self) -> bool:
        """Install after asking; False if the answer was no, or if it is under way already.

        Raises:
            InstallError: it could not be installed.
        """
        if self.running:  # pip lets the application breathe, and so a second click comes through
            return False
        wanted = [line for line in packages.requirements() if packages.packageName(line) == "torch"]
        self.running = True
        self._onChanged()
        try:
            installed = packages.install(self._ask, wanted)
        finally:
            self.running = False
            self._onChanged()
        if installed:
            self._say(_("PyTorch is installed."))
        return installed

    def _ask(self, question: str) -> bool:
        yes = bool(slicer.util.confirmOkCancelDisplay(question))
        if yes:
            self._say(_("Installing PyTorch; this takes several minutes. The Python console shows how far it is."))
            slicer.app.processEvents()
        return yes
