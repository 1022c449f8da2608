"""Stand-ins for CTK's widgets."""

from typing import Any

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


@standin(QtWidgets.QWidget)
class ctkDoubleSpinBox:
    """A QDoubleSpinBox inside a widget of its own."""

    _forward = dict.fromkeys(
        ("alignment", "cleanText", "decimals", "frame", "maximum", "minimum", "prefix", "readOnly", "singleStep",
         "suffix", "value"), "_spin")  # fmt: skip

    def _setup(self) -> None:
        self._spin = QtWidgets.QDoubleSpinBox(self)
        _fill(self, self._spin)
        self._spin.valueChanged.connect(self._changed)
        self._spin.editingFinished.connect(self._finished)

    def _finished(self) -> None:
        emit(self, "editingFinished()")

    def _changed(self, value: float) -> None:
        emit(self, "valueChanged(double)", value)
        emit(self, "valueChanged(QString)", self._spin.text)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setValueIfDifferent(self, value: float) -> None:
        self._spin.setValue(value)

    def setValueAlways(self, value: float) -> None:
        if value == self._spin.value:
            self._changed(value)
        self._spin.setValue(value)

    def stepUp(self) -> None:
        self._spin.stepUp()

    def stepDown(self) -> None:
        self._spin.stepDown()


@standin(QtWidgets.QWidget)
class ctkSliderWidget:
    """A slider and a spin box that keep one value."""

    _forward = dict.fromkeys(("decimals", "prefix", "suffix"), "_spin")

    def _setup(self) -> None:
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._spin)
        self._value = 0.0
        self._dragging = False
        self._spin.setKeyboardTracking(False)
        self._slider.sliderPressed.connect(self.startChanging)
        self._slider.sliderReleased.connect(self.stopChanging)
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self.setValue)
        self._show()

    def _get_minimum(self) -> float:
        return self._values.get("minimum", 0.0)

    def _set_minimum(self, value: float) -> None:
        self._values["minimum"] = value
        self._values["maximum"] = max(value, self.maximum)
        self.setValue(self._value)

    def _get_maximum(self) -> float:
        return self._values.get("maximum", 99.99)

    def _set_maximum(self, value: float) -> None:
        self._values["maximum"] = value
        self._values["minimum"] = min(value, self.minimum)
        self.setValue(self._value)

    def _get_singleStep(self) -> float:
        return self._values.get("singleStep", 1.0)

    def _set_singleStep(self, value: float) -> None:
        self._values["singleStep"] = value
        self._show()

    def _get_value(self) -> float:
        return self._value

    def _set_value(self, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        changed = value != self._value
        self._value = value
        self._show()
        if changed:
            emit(self, "valueIsChanging(double)", value)
            if self.tracking or not self._dragging:
                emit(self, "valueChanged(double)", value)

    def setValue(self, value: float) -> None:
        self.value = value

    def setSliderValue(self, value: float) -> None:
        self.value = value

    def setSpinBoxValue(self, value: float) -> None:
        self.value = value

    def reset(self) -> None:
        self.value = 0.0

    def _get_spinBoxVisible(self) -> bool:
        return not self._spin.isHidden()

    def _set_spinBoxVisible(self, value: bool) -> None:
        self._spin.setVisible(value)

    def startChanging(self) -> None:
        self._dragging = True

    def stopChanging(self) -> None:
        self._dragging = False
        if not self.tracking:
            emit(self, "valueChanged(double)", self._value)

    def _slid(self, position: int) -> None:
        self.value = self.minimum + position * self.singleStep

    def _show(self) -> None:
        """Write the value into both parts without hearing back from them."""
        for part in (self._slider, self._spin):
            part.blockSignals(True)
        self._spin.setRange(self.minimum, self.maximum)
        self._spin.setSingleStep(self.singleStep)
        self._spin.setValue(self._value)
        steps = self.singleStep or 1.0
        self._slider.setRange(0, round((self.maximum - self.minimum) / steps))
        self._slider.setValue(round((self._value - self.minimum) / steps))
        for part in (self._slider, self._spin):
            part.blockSignals(False)


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


@standin(QtWidgets.QWidget)
class ctkPathLineEdit:
    """A path with a history and a button to browse."""

    def _setup(self) -> None:
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._button = QtWidgets.QToolButton(self)
        self._button.text = "..."
        self._button.clicked.connect(self.browse)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo, 1)
        row.addWidget(self._button)
        self._valid = False
        self._combo.editTextChanged.connect(self._changed)

    def _get_currentPath(self) -> str:
        return self._combo.currentText

    def _set_currentPath(self, value: str) -> None:
        self._combo.setEditText(value)

    def setCurrentPath(self, value: Any) -> None:
        self.currentPath = value

    def _get_showBrowseButton(self) -> bool:
        return not self._button.isHidden()

    def _set_showBrowseButton(self, value: bool) -> None:
        self._button.setVisible(value)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    def addCurrentPathToHistory(self) -> None:
        path = self.currentPath
        if path and self._combo.findText(path) < 0:
            self._combo.insertItem(0, path)
            self._combo.setCurrentIndex(0)

    def browse(self, *_: Any) -> None:
        files = self.filters & int(QtCore.QDir.Files)
        dialog = QtWidgets.QFileDialog
        ask = dialog.getOpenFileName if files else dialog.getExistingDirectory
        path = ask(self, self.label, self.currentPath)
        if path:
            self.currentPath = path
            self.addCurrentPathToHistory()

    def _changed(self, path: str) -> None:
        valid = bool(path) and QtCore.QFileInfo(path).exists()
        if valid != self._valid:
            self._valid = valid
            emit(self, "validInputChanged(bool)", valid)
        emit(self, "currentPathChanged(QString)", path)


def _fill(outer: QtWidgets.QWidget, inner: QtWidgets.QWidget) -> None:
    """Make one widget the whole content of another."""
    layout = QtWidgets.QVBoxLayout(outer)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(inner)
