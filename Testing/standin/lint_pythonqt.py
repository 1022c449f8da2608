"""Finds PythonQt traps in source: what PySide habits, or Qt 5 habits, break inside Slicer.

`check(paths)` reads files and folders; nothing is imported or run. Rules for the product alone (threads, torch,
environment edits) hold in the folders EfficientSeg and EfficientSegBridge.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PRODUCT_FOLDERS = {"EfficientSeg", "EfficientSegBridge"}
QT_MODULES = {"qt", "ctk"}
GONE = {"QTextCodec", "QRegExp", "QRegExpValidator", "QDesktopWidget", "QThread", "QVariant", "QMutex", "QThreadPool"}
OTHER_BINDINGS = {"PySide2", "PySide6", "PyQt5", "PyQt6", "PythonQt"}
NOT_IN_PRODUCT = {
    "threading": "Python threads hardly run inside Slicer; use qt.QProcess and signals",
    "_thread": "Python threads hardly run inside Slicer; use qt.QProcess and signals",
    "multiprocessing": "it hangs behind Slicer's launcher; use qt.QProcess",
    "concurrent": "Python threads hardly run inside Slicer; use qt.QProcess and signals",
    "torch": "torch is never imported in Slicer's own process; ask the worker",
    "torchvision": "torch is never imported in Slicer's own process; ask the worker",
    "monai": "torch is never imported in Slicer's own process; ask the worker",
    "timm": "torch is never imported in Slicer's own process; ask the worker",
}
# Meta-object properties of widgets: attributes in PythonQt, getters elsewhere.
_PROPERTY_NAMES = (
    "acceptDrops alignment autoDefault checkable checked cleanText collapsed columnCount count currentData "
    "currentIndex currentNodeID currentPath currentText cursorPosition decimals document down duplicatesEnabled "
    "editable enabled flat font geometry height html icon iconSize layoutDirection maximum maximumHeight "
    "maximumWidth minimum minimumHeight minimumWidth nodeTypes noneEnabled objectName orientation palette "
    "placeholderText plainText pos readOnly rect rowCount segmentCount selectionMode singleStep size sizePolicy "
    "styleSheet suffix text title toolTip value visible whatsThis width windowTitle "
)
PROPERTIES = frozenset(_PROPERTY_NAMES.split())
TUPLE_IN_PYSIDE = {
    "getOpenFileName",
    "getOpenFileNames",
    "getSaveFileName",
    "getText",
    "getItem",
    "getInt",
    "getDouble",
}


class Finding(NamedTuple):
    """One trap: where, and what to write instead."""

    path: Path
    line: int
    message: str


class Source:
    """A parsed file with what the rules ask of it."""

    def __init__(self, path: Path) -> None:
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self.nodes = list(ast.walk(self.tree))
        self.product = path.parent.name in PRODUCT_FOLDERS
        self.parents = {id(child): node for node in self.nodes for child in ast.iter_child_nodes(node)}
        self.functions = {n.name: n for n in self.nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
        self.widgets = set(self._widget_names())

    def _widget_names(self) -> Iterator[str]:
        """Variables that hold a widget made in this file, as written: `button`, `self.button`."""
        for node in self.nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made = dotted(node.value.func)
                if made.split(".")[0] in QT_MODULES and not made.endswith("Item"):
                    yield from (dotted(target) for target in node.targets)

    def is_widget(self, node: ast.AST) -> bool:
        """Whether an expression is surely a widget: made here, or a child of the loaded .ui."""
        name = dotted(node)
        return name in self.widgets or (".ui." in f".{name}" and not name.endswith(".ui"))


def dotted(node: ast.AST) -> str:
    """`a.b.c` for an attribute chain; calls and subscripts inside it become empty parts."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def of_qt(node: ast.AST) -> bool:
    """Whether an expression is a name of the modules qt or ctk."""
    return "." in dotted(node) and dotted(node).split(".")[0] in QT_MODULES


def method(node: ast.AST) -> str:
    """The method's name when the node is a call of one."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


Rule = Callable[[ast.AST, Source], "str | None"]


def instance_of_qt(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Call) and dotted(node.func) in ("isinstance", "issubclass") and len(node.args) == 2:
        kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        if any(of_qt(kind) for kind in kinds):
            return "isinstance is False for base classes in PythonQt; use .inherits('QWidget') or .className()"
    return None


def bytes_of_array(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Call) and dotted(node.func) in ("bytes", "bytearray") and node.args:
        inner = node.args[0]
        made = isinstance(inner, ast.Call) and dotted(inner.func) == "qt.QByteArray"
        if made or method(inner).startswith("readAll"):
            return "bytes(QByteArray) fails in PythonQt; use .data()"
    return None


def indexed_signal(node: ast.AST, source: Source) -> str | None:
    indexed = method(node) in ("connect", "disconnect", "emit") and isinstance(node.func.value, ast.Subscript)
    if indexed and isinstance(node.func.value.value, ast.Attribute):
        return "signals are not subscriptable in PythonQt; use object.connect('name(int)', slot)"
    return None


def written_single_shot(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Assign) and any(
        isinstance(t, ast.Attribute) and t.attr == "singleShot" for t in node.targets
    ):
        return "timer.singleShot is a slot in PythonQt; use setSingleShot(True)"
    return None


def called_property(node: ast.AST, source: Source) -> str | None:
    if method(node) in PROPERTIES and not node.args and not node.keywords and source.is_widget(node.func.value):
        return f".{node.func.attr} is a property in PythonQt; leave out the parentheses"
    return None


def keywords_given(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Call) and node.keywords:
        setter = isinstance(node.func, ast.Attribute) and source.is_widget(node.func.value)
        if of_qt(node.func) or setter:
            return "PythonQt takes no keyword arguments; give them by position or set the properties"
    return None


def underscored_exec(node: ast.AST, source: Source) -> str | None:
    return "exec_ ends with Qt 6; use exec()" if method(node) == "exec_" else None


def gone_class(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Attribute) and dotted(node.value) == "qt" and node.attr in GONE:
        return f"qt.{node.attr} does not exist in Slicer or ends with Qt 6"
    return None


def own_signals(node: ast.AST, source: Source) -> str | None:
    if isinstance(node, ast.Attribute) and dotted(node) in ("qt.Signal", "qt.Slot", "qt.Property"):
        return f"{dotted(node)} is not dependable in PythonQt; pass a callable instead"
    return None


def short_enum(node: ast.AST, source: Source) -> str | None:
    parts = dotted(node).split(".")
    if not isinstance(node, ast.Attribute) or len(parts) != 3 or parts[0] != "qt" or not parts[1].startswith("Q"):
        return None
    parent = source.parents[id(node)]
    further = isinstance(parent, ast.Attribute) or (isinstance(parent, ast.Call) and parent.func is node)
    if parts[2][0].isupper() and not further:
        return f"{dotted(node)}: write the enum's full name (qt.Qt.AlignmentFlag.AlignLeft), Qt 6 asks for it"
    return None


def signal_without_parentheses(node: ast.AST, source: Source) -> str | None:
    first = node.args[0] if method(node) in ("connect", "disconnect") and node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and "(" not in first.value:
        return f"connect('{first.value}') returns False in PythonQt; write '{first.value}()' with its types"
    return None


def two_argument_finished(node: ast.AST, source: Source) -> str | None:
    if method(node) != "connect" or not node.args:
        return None
    if not isinstance(node.func.value, ast.Attribute) or node.func.value.attr != "finished":
        return None
    slot = node.args[0]
    arguments = slot.args if isinstance(slot, ast.Lambda) else None
    bound = isinstance(slot, ast.Attribute)
    known = source.functions.get(dotted(slot).split(".")[-1])
    if known is not None:
        arguments = known.args
    if arguments is None or arguments.vararg is not None:
        return None
    needed = len(arguments.posonlyargs + arguments.args) - len(arguments.defaults) - bound
    if needed >= 2:
        return "finished hands one argument in PythonQt; use lambda *_: and ask exitCode(), exitStatus()"
    return None


def unpacked_dialog(node: ast.AST, source: Source) -> str | None:
    unpacked = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple)
    if unpacked and method(node.value) in TUPLE_IN_PYSIDE and of_qt(node.value.func):
        return f"{method(node.value)} returns one value in PythonQt, not a tuple"
    return None


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module.split(".")[0]]
    importers = ("importlib.import_module", "import_module", "__import__")
    first = node.args[0] if isinstance(node, ast.Call) and dotted(node.func) in importers and node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        return [first.value.split(".")[0]]
    return []


def other_binding(node: ast.AST, source: Source) -> str | None:
    found = [name for name in _imported(node) if name in OTHER_BINDINGS] if source.product else []
    return f"{found[0]} is not what Slicer offers; import qt and ctk" if found else None


def not_in_product(node: ast.AST, source: Source) -> str | None:
    found = [name for name in _imported(node) if name in NOT_IN_PRODUCT] if source.product else []
    return f"import of {found[0]}: {NOT_IN_PRODUCT[found[0]]}" if found else None


def removed_imp(node: ast.AST, source: Source) -> str | None:
    return "imp is gone from Python 3.12; use importlib" if "imp" in _imported(node) else None


def edited_environment(node: ast.AST, source: Source) -> str | None:
    if not source.product:
        return None
    targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else []
    written = any(isinstance(t, ast.Subscript) and dotted(t.value) == "os.environ" for t in targets)
    changed = isinstance(node, ast.Call) and dotted(node.func) in (
        "os.putenv",
        "os.unsetenv",
        "os.environ.update",
        "os.environ.pop",
        "os.environ.setdefault",
    )
    return "os.environ belongs to all of Slicer; give the process a copied environment" if written or changed else None


RULES: tuple[Rule, ...] = (
    instance_of_qt,
    bytes_of_array,
    indexed_signal,
    written_single_shot,
    called_property,
    keywords_given,
    underscored_exec,
    gone_class,
    own_signals,
    short_enum,
    signal_without_parentheses,
    two_argument_finished,
    unpacked_dialog,
    other_binding,
    not_in_product,
    removed_imp,
    edited_environment,
)


def check(paths: Iterable[Path | str]) -> list[Finding]:
    """All findings in Python files and in the folders given, in order of file and line."""
    findings = []
    for file in sorted(_files(paths)):
        source = Source(file)
        for node in source.nodes:
            for rule in RULES:
                message = rule(node, source)
                if message:
                    findings.append(Finding(file, node.lineno, message))
    return sorted(findings)


def _files(paths: Iterable[Path | str]) -> Iterator[Path]:
    for path in map(Path, paths):
        yield from path.rglob("*.py") if path.is_dir() else [path]


if __name__ == "__main__":
    found = check(sys.argv[1:])
    for finding in found:
        print(f"{finding.path}:{finding.line}: {finding.message}")
    sys.exit(bool(found))
