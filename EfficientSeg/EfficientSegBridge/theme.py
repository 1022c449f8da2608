"""Colours and icons that work in the light and the dark theme; a state is always told by a sign as well."""

import html

import qt

from EfficientSegBridge.preflight import Finding
from EfficientSegBridge.translation import _
from EfficientSegLib.environment import ROOT

ICONS = ROOT / "Resources" / "Icons"
BUTTON_ICONS = {
    "segmentButton": "Segment",
    "stopButton": "Stop",
    "show3DButton": "Show3D",
    "editButton": "Edit",
    "undoButton": "Undo",
}
SIGNS = {"ok": "✓", "wait": "…", "warning": "⚠", "error": "✕"}
LIGHT = {"ok": "#1b7f4b", "warning": "#9a5b00", "error": "#b3261e"}  # on a light ground, 4.5 : 1 and better
DARK = {"ok": "#66d19e", "warning": "#ffb95c", "error": "#ff8a80"}


def setIcons(ui) -> None:
    for button, icon in BUTTON_ICONS.items():
        getattr(ui, button).setIcon(qt.QIcon(str(ICONS / f"{icon}.png")))


def mark(level: str, widget) -> str:
    """The sign of a level in its colour, as rich text."""
    isDark = widget.palette.color(qt.QPalette.ColorRole.Window).lightness() < 128
    color = (DARK if isDark else LIGHT).get(level, "")
    sign = SIGNS[level]
    return f'<b style="color:{color}">{sign}</b>' if color else sign


def line(finding: Finding, widget, more: bool = False) -> str:
    """A finding as rich text: sign, fact and cure; `more` adds a link that opens the whole list."""
    said = f"{mark(finding.level, widget)} {html.escape(finding.text)}"
    if finding.cure:
        said += f" <i>{html.escape(finding.cure)}</i>"
    return said + (f' <a href="more">{_("more")}</a>' if more else "")
