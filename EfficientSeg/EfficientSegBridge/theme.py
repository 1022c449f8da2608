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
# Tones in the middle: at least 3 : 1 on the light and on the dark ground, for signs in bold type and for links.
COLORS = {"ok": "#2a9560", "warning": "#c77700", "error": "#d9453d"}
LINK = "#3d8bfd"


def setIcons(ui) -> None:
    for button, icon in BUTTON_ICONS.items():
        getattr(ui, button).setIcon(qt.QIcon(str(ICONS / f"{icon}.png")))


def mark(level: str) -> str:
    """The sign of a level in its colour, as rich text."""
    color = COLORS.get(level, "")
    sign = SIGNS[level]
    return f'<b style="color:{color}">{sign}</b>' if color else sign


def link(target: str, text: str) -> str:
    return f'<a href="{target}" style="color:{LINK}">{html.escape(text)}</a>'


def line(finding: Finding, more: bool = False) -> str:
    """A finding as rich text: sign, fact and cure; `more` adds a link that opens the whole list.

    With `more` the cure of a mere warning is left to the list.
    """
    said = f"{mark(finding.level)} {html.escape(finding.text)}"
    if finding.cure and not (more and finding.level == "warning"):
        said += f" <i>{html.escape(finding.cure)}</i>"
    if finding.action:
        said += f" {link(finding.action, _('Install …'))}"
    return f"{said} {link('more', _('more'))}" if more else said
