"""Stand-ins for CTK's buttons, combo box and text browser."""

from PySide6 import QtCore, QtGui, QtWidgets

from .base import emit, standin

NO_LIMIT = 16777215  # QWIDGETSIZE_MAX


@standin(QtWidgets.QAbstractButton)
class ctkCollapsibleButton:
    """A header that shows or hides what lies below it."""

    def _setup(self) -> None:
        self._hidden = []
        self.checkable = True
        self.checked = True
        self.setContentsMargins(0, self._header(), 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(self._toggled)

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def _get_collapsed(self) -> bool:
        return not self.checked

    def _set_collapsed(self, value: bool) -> None:
        self.checked = not value

    def collapse(self, value: bool) -> None:
        self.collapsed = value

    def _toggled(self, opened: bool) -> None:
        self._apply()
        emit(self, "contentsCollapsed(bool)", not opened)

    def _apply(self) -> None:
        """Hide the children of a closed button, remembering which were meant to be seen."""
        if self.checked:
            for child in self._hidden:
                if child:
                    child.setVisible(True)
            self._hidden = []
        else:
            for child in self.children():
                if child.isWidgetType() and not child.isHidden():
                    self._hidden.append(child)
                    child.setVisible(False)
        self.maximumHeight = NO_LIMIT if self.checked else self._header()
        self.updateGeometry()
        self.update()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        self._apply()

    def sizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        if self.checked and layout is not None:
            return layout.totalSizeHint()
        return QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._header())

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        if self.checked and layout is not None:
            return layout.totalMinimumSize()
        return QtCore.QSize(60, self._header())

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOption()
        option.initFrom(self)
        height = self._header()
        palette = self.palette
        painter.fillRect(0, 0, self.width, height, palette.color(QtGui.QPalette.Button).darker(108))
        option.rect = QtCore.QRect(4, (height - 12) // 2, 12, 12)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowDown if self.checked else QtWidgets.QStyle.PE_IndicatorArrowRight
        self.style().drawPrimitive(arrow, option, painter, self)
        painter.setPen(palette.color(QtGui.QPalette.ButtonText))
        painter.drawText(QtCore.QRect(22, 0, self.width - 24, height), int(QtCore.Qt.AlignVCenter), self.text)
        painter.end()


@standin(QtWidgets.QComboBox)
class ctkComboBox:
    """A combo box with a text for the state without a choice."""

    def _setup(self) -> None:
        pass

    def _get_currentUserDataAsString(self) -> str:
        return "" if self.currentData is None else str(self.currentData)

    def _set_currentUserDataAsString(self, value: str) -> None:
        self.setCurrentIndex(self.findData(value))

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex < 0 or self.forceDefault:
            option.currentText = self.defaultText
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)
        painter.end()


@standin(QtWidgets.QCheckBox)
class ctkCheckBox:
    """A check box that may show an icon as its indicator."""

    def _setup(self) -> None:
        pass


@standin(QtWidgets.QPushButton)
class ctkPushButton:
    """A push button that places text and icon."""

    def _setup(self) -> None:
        pass


@standin(QtWidgets.QPushButton)
class ctkMenuButton:
    """A push button whose arrow alone opens its menu."""

    def _setup(self) -> None:
        pass


@standin(QtWidgets.QTextBrowser)
class ctkFittedTextBrowser:
    """A text browser as high as its text, which may end in "Show details"."""

    def _setup(self) -> None:
        self._collapsible = ""
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Minimum)
        self.anchorClicked.connect(self._clicked)

    def _get_collapsed(self) -> bool:
        return self._values.get("collapsed", True)

    def _set_collapsed(self, value: bool) -> None:
        self._values["collapsed"] = value
        if self._collapsible:
            self.setCollapsibleText(self._collapsible)

    def setCollapsibleText(self, text: str) -> None:
        """Text before the first blank line or `<br>` stays; the rest waits behind a link."""
        self._collapsible = text
        head, _, rest = text.partition("<br>")
        link = self.showDetailsText if self.collapsed else self.hideDetailsText
        more = f' <a href="#">{link}</a>' if rest else ""
        self.setHtml(head + more + ("" if self.collapsed else f"<br>{rest}"))

    def setCollapsibleHtml(self, text: str) -> None:
        self.setCollapsibleText(text)

    def setCollapsiblePlainText(self, text: str) -> None:
        self.setCollapsibleText(text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>"))

    def collapsibleText(self) -> str:
        return self._collapsible

    def _clicked(self, url: QtCore.QUrl) -> None:
        if url.toString() == "#":
            self.collapsed = not self.collapsed

    def sizeHint(self) -> QtCore.QSize:
        document = self.document
        return QtCore.QSize(200, int(document.size.height()) + 6)
