"""Dropped tokens in the panel: a check box and a legend in the "Why here?" part."""

import html

from EfficientSegBridge import tokens
from EfficientSegBridge.section import Section
from EfficientSegBridge.translation import _


class TokensPart(Section):
    """Works on widgets of the "Why here?" part; it has no .ui file of its own."""

    def __init__(self, ui, logic, panel) -> None:
        super().__init__(ui, logic, panel)
        self._usualTip = ui.showTokensCheckBox.toolTip
        self._node = None
        self.refresh()

    def setParameterNode(self, node) -> None:
        self._node = node
        self.refresh()

    def setSegmentation(self, node) -> None:
        self.refresh()

    def refresh(self) -> None:
        box, label = self._ui.showTokensCheckBox, self._ui.tokensLabel
        levels = tokens.legend()
        bundle = self._panel.bundle if self._node is not None else None
        possible = bool(levels) or (bundle is not None and bundle.prunes_tokens)
        if box.enabled != possible:
            box.enabled = possible
        tip = self._usualTip if possible else _("This model drops no tokens: it computes every place to the end.")
        if box.toolTip != tip:
            box.toolTip = tip
        said = self._said(levels) if possible and self._node is not None and self._node.showTokens else ""
        if label.text != said:
            label.text = said
        label.setVisible(bool(said))

    def _said(self, levels: list[tokens.Level]) -> str:
        """The legend as rich text; what there is to wait for, where there is no map."""
        if not levels:
            return _("The map comes at the end of the next run.")
        lines = [
            f'<span style="color:{_hex(level.color)}">■</span>&nbsp;{html.escape(level.name)}:&nbsp;{level.share:.0%}'
            for level in levels
        ]
        return _("Of what was read closely: {levels}.").format(levels=", ".join(lines))


def _hex(color: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in color)
