"""Pictures of the panel and the views as the stand-in draws them, put side by side and written small."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from PIL import Image

from standin import screenshots

PANEL_PIXELS = 350  # the narrowest panel that is to be usable
VIEW = (330, 270)
GAP = 8
COLOURS = 256
KMEANS = 3  # without it greys take on a tint
PARTS = (
    "resultButton",
    "whyButton",
    "reviewButton",
    "compareSectionButton",
    "studiesButton",
    "setUpButton",
    "advancedButton",
)


class Camera:
    """Looks at one panel.

    Args:
        application: the running stand-in.
        widget: the module's widget.
        wait: lets the application work until something is true; raises where that takes too long.
    """

    def __init__(self, application, widget, wait: Callable[[Callable[[], bool], str], None]) -> None:
        self._application, self._widget, self._wait = application, widget, wait

    def warmUp(self) -> None:
        """Draw all views once; the first time takes seconds, in which a run would go on."""
        screenshots.views(*VIEW)

    def views(self, *names: str, size: tuple[int, int] = VIEW, columns: int = 1):
        """These views, at most four, one below the other or in two columns."""
        before = screenshots.FOUR_UP
        screenshots.FOUR_UP = {name: (place % columns, place // columns) for place, name in enumerate(names)}
        rows = -(-len(names) // columns)
        gap = screenshots.GAP
        try:
            image = screenshots.views(2 * size[0] + gap, 2 * size[1] + gap)
        finally:
            screenshots.FOUR_UP = before
        return image.copy(0, 0, columns * (size[0] + gap) - gap, rows * (size[1] + gap) - gap)

    def top(self, dark: bool = False):
        """The panel's first rows; all parts below are closed."""
        return self._cut(None, dark)

    def part(self, button: str, dark: bool = False):
        """One part of the panel; the others are closed."""
        return self._cut(getattr(self._widget.ui, button), dark)

    def open(self, *buttons: str) -> None:
        """Open these parts of the panel and close the others."""
        for name in PARTS:
            getattr(self._widget.ui, name).collapsed = name not in buttons
        slicer.app.processEvents()

    def panel(self, dark: bool = False):
        """The whole panel, its parts open or closed as they are."""
        for _again in range(2):  # the first one gives the parts that were opened or closed their size
            image = screenshots.panel(self._widget.parent, PANEL_PIXELS, dark)
        return image

    def window(self, dialog, size: tuple[int, int]):
        """A window of its own, as large as asked for."""
        dialog.resize(*size)
        for _round in range(3):
            slicer.app.processEvents()
        return dialog.grab().toImage()

    def _cut(self, button, dark: bool):
        ui, root = self._widget.ui, self._widget.parent
        self.open(*([button.objectName] if button is not None else []))
        self._wait(self._isSettled, "places are still being put into words")
        image = self.panel(dark)
        top = button.mapTo(root, qt.QPoint(0, 0)).y() if button is not None else 0
        bottom = top + button.height if button is not None else ui.resultButton.mapTo(root, qt.QPoint(0, 0)).y()
        return image.copy(0, top, PANEL_PIXELS, bottom - top)

    def _isSettled(self) -> bool:
        sections = self._widget.panel._sections
        return not any(section._steps.busy for section in sections if hasattr(section, "_steps"))


def beside(*images):
    """Pictures from left to right, their upper rims in one line."""
    return _joined(images, across=True)


def below(*images):
    """Pictures from top to bottom, their left rims in one line."""
    return _joined(images, across=False)


def _joined(images, across: bool):
    widths, heights = [image.width() for image in images], [image.height() for image in images]
    gaps = GAP * (len(images) - 1)
    size = (sum(widths) + gaps, max(heights)) if across else (max(widths), sum(heights) + gaps)
    whole = qt.QImage(*size, qt.QImage.Format.Format_RGB32)
    whole.fill(qt.QColor(255, 255, 255))
    painter, place = qt.QPainter(whole), 0
    for image, width, height in zip(images, widths, heights):
        painter.drawImage(place if across else 0, 0 if across else place, image)
        place += (width if across else height) + GAP
    painter.end()
    return whole


def save(image, path: Path) -> int:
    """Write a PNG with a palette; how many of its colours differ, for whoever wants to know that it is not empty.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:  # small signs keep their colour: the palette covers what is rare too
        full = Path(folder) / "full.png"
        screenshots.save(image, full)
        with Image.open(full) as read:
            small = read.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, KMEANS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return len(small.getcolors())
