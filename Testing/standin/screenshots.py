"""PNG pictures of the views, of a panel, and of both side by side as on Slicer's screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

BAR_HEIGHT = 22
GAP = 2
LARGEST = 16777215  # QWIDGETSIZE_MAX, which takes a maximum size away
# The four-up layout: view name with its column and row.
FOUR_UP = {"Red": (0, 0), "3D": (1, 0), "Green": (0, 1), "Yellow": (1, 1)}


def views(width: int, height: int) -> QtGui.QImage:
    """The four-up layout: each view below its coloured bar with letter, orientation and slice position."""
    picture = QtGui.QImage(width, height, QtGui.QImage.Format_RGB32)
    picture.fill(QtGui.QColor(60, 60, 60))
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.Antialiasing)
    cell = ((width - GAP) // 2, (height - GAP) // 2)
    for name, (column, row) in FOUR_UP.items():
        left, top = column * (cell[0] + GAP), row * (cell[1] + GAP)
        _draw_view(painter, name, QtCore.QRect(left, top, *cell))
    painter.end()
    return picture


def panel(widget: QtWidgets.QWidget, width: int, dark: bool) -> QtGui.QImage:
    """The widget at `width` pixels and the height that its contents ask for, in the light or the dark theme."""
    with _palette(dark_palette() if dark else light_palette()):
        widget.show()
        hint = widget.layout().totalHeightForWidth(width) if widget.layout() else -1
        # A fixed size, because a panel in the module dock is otherwise resized by its scroll area.
        widget.setFixedSize(width, max(hint, widget.sizeHint.height()))
        for _ in range(3):  # layouts within layouts settle one event round after the other
            QtWidgets.QApplication.processEvents()
        image = widget.grab().toImage()
        widget.setMinimumSize(0, 0)
        widget.setMaximumSize(LARGEST, LARGEST)
        return image


def application(widget: QtWidgets.QWidget, width: int, height: int, panel_width: int, dark: bool) -> QtGui.QImage:
    """The panel on the left, the views on the right."""
    side = panel(widget, panel_width, dark)
    picture = QtGui.QImage(width, height, QtGui.QImage.Format_RGB32)
    picture.fill((dark_palette() if dark else light_palette()).color(QtGui.QPalette.Window))
    painter = QtGui.QPainter(picture)
    painter.drawImage(0, 0, side)
    painter.drawImage(panel_width + GAP, 0, views(width - panel_width - GAP, height))
    painter.end()
    return picture


def save(image: QtGui.QImage, path: str | Path) -> None:
    """Write a PNG; OSError if the file cannot be written."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not image.save(str(path), "PNG"):
        raise OSError(f"{path} could not be written.")


def light_palette() -> QtGui.QPalette:
    """Colours of Slicer's light style, which are Fusion's own."""
    return QtWidgets.QApplication.style().standardPalette()


def dark_palette() -> QtGui.QPalette:
    """Colours of Slicer's dark style."""
    palette = QtGui.QPalette()
    colors = {
        "Window": (50, 50, 50),
        "WindowText": (225, 225, 225),
        "Base": (36, 36, 36),
        "AlternateBase": (45, 45, 45),
        "Text": (225, 225, 225),
        "Button": (62, 62, 62),
        "ButtonText": (225, 225, 225),
        "BrightText": (255, 90, 90),
        "ToolTipBase": (70, 70, 70),
        "ToolTipText": (225, 225, 225),
        "Highlight": (46, 112, 182),
        "HighlightedText": (255, 255, 255),
        "Link": (110, 170, 240),
        "PlaceholderText": (140, 140, 140),
    }
    for role, rgb in colors.items():
        palette.setColor(getattr(QtGui.QPalette, role), QtGui.QColor(*rgb))
    for role in ("WindowText", "Text", "ButtonText"):
        palette.setColor(QtGui.QPalette.Disabled, getattr(QtGui.QPalette, role), QtGui.QColor(120, 120, 120))
    return palette


@contextmanager
def _palette(palette: QtGui.QPalette) -> Iterator[None]:
    QtWidgets.QApplication.setPalette(palette)
    yield
    QtWidgets.QApplication.setPalette(light_palette())


def _draw_view(painter: QtGui.QPainter, name: str, area: QtCore.QRect) -> None:
    manager = slicer.app.layoutManager()
    widget = manager.threeDWidget(0) if name == "3D" else manager.sliceWidget(name)
    view = widget.threeDView() if name == "3D" else widget.sliceView()
    node = widget.mrmlViewNode() if name == "3D" else widget.mrmlSliceNode()
    view.resize(area.width(), area.height() - BAR_HEIGHT)

    pixels = np.ascontiguousarray(view.pixels())
    rows, columns, _ = pixels.shape
    image = QtGui.QImage(pixels.data, columns, rows, 3 * columns, QtGui.QImage.Format_RGB888)
    painter.drawImage(area.left(), area.top() + BAR_HEIGHT, image)

    color = QtGui.QColor.fromRgbF(*node.GetLayoutColor())
    bar = QtCore.QRect(area.left(), area.top(), area.width(), BAR_HEIGHT)
    painter.fillRect(bar, color.darker(115))
    label = QtCore.QRect(bar.left(), bar.top(), 2 * BAR_HEIGHT, BAR_HEIGHT)
    painter.fillRect(label, color)
    painter.setFont(_font(13, bold=True))
    painter.setPen(QtGui.QColor(20, 20, 20))
    painter.drawText(label, QtCore.Qt.AlignCenter, "1" if name == "3D" else node.GetLayoutLabel())
    if name == "3D":
        return
    painter.setFont(_font(12))
    inner = bar.adjusted(2 * BAR_HEIGHT + 8, 0, -8, 0)
    painter.drawText(inner, QtCore.Qt.AlignVCenter | QtCore.Qt.AlignLeft, node.GetOrientation())
    offset = f"{widget.sliceLogic().GetSliceOffset():.2f} mm"
    painter.drawText(inner, QtCore.Qt.AlignVCenter | QtCore.Qt.AlignRight, offset)
    background = slicer.mrmlScene.GetNodeByID(widget.mrmlSliceCompositeNode().GetBackgroundVolumeID() or "")
    if background:
        painter.setPen(QtGui.QColor(255, 255, 255, 200))
        caption = area.adjusted(6, 0, -6, -5)
        painter.drawText(caption, QtCore.Qt.AlignBottom | QtCore.Qt.AlignLeft, f"B: {background.GetName()}")


def _font(pixels: int, bold: bool = False) -> QtGui.QFont:
    font = QtGui.QFont()
    font.setPixelSize(pixels)
    font.setBold(bold)
    return font
