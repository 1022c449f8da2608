"""Stand-ins for CTK's widgets that hold a value: spin box, slider, path."""

from typing import Any

from PySide6 import QtCore, QtWidgets

from .base import emit, fill, standin


@standin(QtWidgets.QWidget)
class ctkDoubleSpinBox:
    """A QDoubleSpinBox inside a widget of its own."""

    _forward = dict.fromkeys(
        ("alignment", "cleanText", "decimals", "frame", "maximum", "minimum", "prefix", "readOnly", "singleStep",
         "suffix", "value"), "_spin")  # fmt: skip

    def _setup(self) -> None:
        self._spin = QtWidgets.QDoubleSpinBox(self)
        fill(self, self._spin)
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
