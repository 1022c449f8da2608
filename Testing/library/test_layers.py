"""The picture of the house, checked on the source: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "EfficientSegLib"
FORBIDDEN = {"slicer", "qt", "ctk", "vtk", "PythonQt"}
HEAVY = {"torch", "monai", "SimpleITK", "timm", "matplotlib", "tqdm"}
LAYERS = [
    {
        *{"__init__", "agreement", "errors", "options", "geometry", "bundle", "protocol", "reviewed"},
        *{
            "environment",
            "failures",
            "files",
            "gate",
            "heap",
            "resources",
            "store",
            "studies",
            "suitability",
            "terminology",
        },
        *{"orientation", "overlaps", "patch_memory", "rules", "slice_memory", "stacks"},
    },
    {
        *{"volume", "dicom", "headers", "nifti", "seg_nrrd", "study_tree"},
        *{"preprocess", "patches", "postprocess", "resampling", "restore", "torso", "devices", "device_memory"},
    },
    {"networks"},
    {"strategies"},
    {
        *{"segment", "listener", "ending", "live", "live_slabs", "slab_pace", "pace", "review"},
        *{"token_map", "wishes", "record"},
        *{"training", "evaluation", "adapters", "expert_maps"},
    },
    {
        *{"job", "kept", "loading", "reporter", "lifeline", "worker", "commands", "__main__"},
        *{"one_case", "batch", "cluster", "cluster_worker", "device_speed"},
    },
]
FILES = sorted(LIBRARY.rglob("*.py"))
SLICER_FILES = sorted((ROOT / "EfficientSeg").rglob("*.py"))


def imports(path):
    """(name, level) of everything a file imports, wherever in it; `from a import b` gives both a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            yield from ((f"{node.module}.{alias.name}", node.level) for alias in node.names)


def roots(path):
    return {name.split(".")[0] for name, _ in imports(path)}


def room(path):
    """The file or folder directly inside the library."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def layer(name):
    return next(number for number, rooms in enumerate(LAYERS) if name in rooms)


def names(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=names)
def test_every_file_has_a_layer_and_imports_only_down_or_sideways(path):
    rooms = {item.stem for item in LIBRARY.glob("*.py")} | {item.name for item in LIBRARY.iterdir() if item.is_dir()}
    assert room(path) in set().union(*LAYERS), f"{names(path)} stands in no layer"
    own = layer(room(path))
    for name, _ in imports(path):
        parts = name.split(".")
        if parts[0] == "EfficientSegLib" and len(parts) > 1 and parts[1] in rooms:
            assert layer(parts[1]) <= own, f"{names(path)} (layer {own}) imports {name} (layer {layer(parts[1])})"


@pytest.mark.parametrize("path", FILES, ids=names)
def test_the_library_knows_nothing_of_the_application_and_imports_by_full_name(path):
    assert not roots(path) & FORBIDDEN
    assert all(level == 0 for _, level in imports(path))


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in LAYERS[0]], ids=names)
def test_layer_0_needs_the_standard_library_and_numpy_only(path):
    assert roots(path) <= {*sys.stdlib_module_names, "numpy", "EfficientSegLib"}


def test_importing_all_of_layer_0_loads_nothing_heavy():
    code = "import importlib, sys\n"
    code += "".join(f"importlib.import_module('EfficientSegLib.{name}')\n" for name in sorted(LAYERS[0] - {"__init__"}))
    code += f"print(sorted({HEAVY | FORBIDDEN} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_slicer_side_imports_nothing_heavy_and_of_the_library_only_layer_0():
    assert SLICER_FILES
    rooms = {room(path) for path in FILES}
    for path in SLICER_FILES:
        assert not roots(path) & HEAVY, names(path)
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[0] == "EfficientSegLib" and len(parts) > 1 and parts[1] in rooms:
                assert parts[1] in LAYERS[0], f"{names(path)} imports {name}"


def test_tests_that_run_inside_slicer_need_no_package_that_is_not_there():
    for path in sorted((ROOT / "Testing" / "module").rglob("*.py")):
        if path.name != "conftest.py":  # read by pytest, never by Slicer
            assert not roots(path) & {*HEAVY, "pytest"}, names(path)


def test_every_layered_file_exists():
    planned = {"adapters", "evaluation"}  # the layout keeps their places free
    assert set().union(*LAYERS) - {room(path) for path in FILES} <= planned
