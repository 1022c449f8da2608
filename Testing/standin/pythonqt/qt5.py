"""Where Qt 5.15, which Slicer shows to Python, differs by name from the Qt 6 underneath the stand-in."""

# Meta-object properties that Qt 6 added. In Qt 5.15 the same names are methods, or nothing at all.
NEW_PROPERTIES = {
    "QWidget": {"accessibleIdentifier"},
    "QLayout": {"contentsMargins"},
    "QComboBox": {"labelDrawingMode"},
    "QAbstractItemView": {"keyboardSearchFlags", "updateThreshold"},
    "QTableWidget": {"supportedDragActions"},
    "QTreeWidget": {"supportedDragActions"},
    "QListWidget": {"supportedDragActions"},
    "QMessageBox": {"options"},
    "QTimer": {"id"},
    "QStyle": {"name"},
}

# Properties that Qt 6 dropped, with the answer of Qt 5.15 for a widget at rest.
OLD_PROPERTIES = {
    "QComboBox": {"autoCompletion": True, "autoCompletionCaseSensitivity": 0},
    "QTextEdit": {"tabStopWidth": 80},
    "QPlainTextEdit": {"tabStopWidth": 80},
}

# Signatures that Qt 6 renamed: Qt 5's on the left.
OLD_SIGNALS = {
    "QComboBox": {
        "currentIndexChanged(QString)": "currentTextChanged(QString)",
        "activated(QString)": "textActivated(QString)",
        "highlighted(QString)": "textHighlighted(QString)",
    },
    "QSpinBox": {"valueChanged(QString)": "textChanged(QString)"},
    "QDoubleSpinBox": {"valueChanged(QString)": "textChanged(QString)"},
    "QButtonGroup": {
        "buttonClicked(int)": "idClicked(int)",
        "buttonPressed(int)": "idPressed(int)",
        "buttonReleased(int)": "idReleased(int)",
        "buttonToggled(int,bool)": "idToggled(int,bool)",
    },
    "QTextBrowser": {"highlighted(QString)": "highlighted(QUrl)"},
    "QProcess": {"error(QProcess::ProcessError)": "errorOccurred(QProcess::ProcessError)"},
}

# Signals that Qt 6 added.
NEW_SIGNALS = {"QCheckBox": {"checkStateChanged(Qt::CheckState)"}}

# `signal.connect(f)` takes the overload declared first; Qt 5 declares the one-argument finished first.
FIRST_OVERLOAD = {("QProcess", "finished"): "finished(int)"}

# Static functions that hand their pointer results back in PySide as a tuple; PythonQt returns the first alone.
FIRST_RESULT_ONLY = {
    ("QFileDialog", "getOpenFileName"),
    ("QFileDialog", "getOpenFileNames"),
    ("QFileDialog", "getSaveFileName"),
    ("QInputDialog", "getText"),
    ("QInputDialog", "getMultiLineText"),
    ("QInputDialog", "getItem"),
    ("QInputDialog", "getInt"),
    ("QInputDialog", "getDouble"),
}

# Classes that real PythonQt does not offer, or that Qt 5.15 does not have.
NOT_OFFERED = {
    "ClassInfo",
    "MetaSignal",
    "QMutex",
    "QMutexLocker",
    "QReadWriteLock",
    "QRecursiveMutex",
    "QRunnable",
    "QSemaphore",
    "QThread",
    "QThreadPool",
    "QVariant",
    "QWaitCondition",
    "SignalInstance",
}
