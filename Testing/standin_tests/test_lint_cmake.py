"""The CMake lint is silent on a sound extension and names each single fault."""

import pytest

from standin.lint_cmake import check

TOP = """
cmake_minimum_required(VERSION 3.16.3)
project(Sound)
# the words project(Other) in a comment are not read
set(EXTENSION_HOMEPAGE "https://example.org/sound#readme")
set(EXTENSION_CATEGORY "Segmentation")
set(EXTENSION_CONTRIBUTORS "A. Person (A University)")
set(EXTENSION_DESCRIPTION "Segments (quickly).")
set(EXTENSION_ICONURL "https://raw.githubusercontent.com/a/Sound/main/Resources/icon.png")
set(EXTENSION_SCREENSHOTURLS "https://example.org/1.png https://example.org/2.png")
find_package(Slicer REQUIRED)
include(${Slicer_USE_FILE})
add_subdirectory(Sound)
file(GLOB_RECURSE LIB RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS SoundLib/*.py)
file(GLOB_RECURSE FILES RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS Resources/*)
file(GLOB_RECURSE TESTS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} Testing/module/*.py Testing/phantoms.py)
ctkMacroCompilePythonScript(
  TARGET_NAME SoundLib
  SCRIPTS "${LIB};${TESTS}"
  RESOURCES "${FILES}"
  DESTINATION_DIR ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
  NO_INSTALL_SUBDIR
  )
if(BUILD_TESTING)
  add_subdirectory(Testing)
endif()
"""
MODULE = """
set(MODULE_NAME Sound)
set(MODULE_PYTHON_SCRIPTS
  ${MODULE_NAME}.py
  SoundBridge/__init__.py
  SoundBridge/nodes.py
  )
slicerMacroBuildScriptedModule(
  NAME ${MODULE_NAME}
  SCRIPTS ${MODULE_PYTHON_SCRIPTS}
  RESOURCES ${MODULE_PYTHON_RESOURCES}
  WITH_GENERIC_TESTS
  )
"""
FILES = (
    "LICENSE",
    "Sound/Sound.py",
    "Sound/SoundBridge/__init__.py",
    "Sound/SoundBridge/nodes.py",
    "SoundLib/__init__.py",
    "SoundLib/networks/unet.py",
    "Resources/icon.png",
    "Resources/UI/Sound.ui",
    "Testing/module/test_nodes.py",
    "Testing/phantoms.py",
    "Sound/__pycache__/Sound.cpython-312.pyc",
)


@pytest.fixture
def sound(tmp_path):
    """A small extension without fault."""
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "CMakeLists.txt").write_text(TOP, encoding="utf-8")
    (tmp_path / "Sound" / "CMakeLists.txt").write_text(MODULE, encoding="utf-8")
    (tmp_path / "Testing" / "CMakeLists.txt").write_text(
        "slicer_add_python_unittest(SCRIPT ../Sound/Sound.py)\n", encoding="utf-8"
    )
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_sound_extension_has_no_findings(sound):
    assert check(sound) == []


@pytest.mark.parametrize(
    "new_file, finding",
    [
        ("Sound/SoundBridge/overlay.py", "Sound/CMakeLists.txt: SoundBridge/overlay.py is on disk but not listed"),
        ("Sound/helper.py", "helper.py is on disk but not listed"),
    ],
)
def test_a_file_that_is_not_listed_is_named(sound, new_file, finding):
    (sound / new_file).touch()
    findings = check(sound)
    assert len(findings) == 1
    assert finding in findings[0]


@pytest.mark.parametrize(
    "gone, finding",
    [
        ("Sound/SoundBridge/nodes.py", "SoundBridge/nodes.py is listed but does not exist"),
        ("Testing/phantoms.py", "pattern Testing/phantoms.py matches no file"),
        ("LICENSE", "no LICENSE"),
        ("Testing/CMakeLists.txt", "add_subdirectory(Testing) has no CMakeLists.txt"),
        ("Resources/icon.png", "EXTENSION_ICONURL: there is no file Resources/icon.png"),
    ],
)
def test_a_file_that_is_missing_is_named(sound, gone, finding):
    (sound / gone).unlink()
    findings = check(sound)
    assert len(findings) == 1
    assert finding in findings[0]


@pytest.mark.parametrize(
    "old, new, finding",
    [
        ("project(Sound)", "project(${NAME})", "written out"),
        ('"Segmentation"', '"Segmentation.Fast"', 'must be "Segmentation"'),
        ("main/Resources/icon.png", "${BRANCH}/Resources/icon.png", "EXTENSION_ICONURL must be written out"),
        ("https://example.org/1.png ", "http://example.org/1.png ", "not an https address"),
        ('set(EXTENSION_CONTRIBUTORS "A. Person (A University)")', "", "EXTENSION_CONTRIBUTORS is not set"),
        ("add_subdirectory(Sound)", "", "add_subdirectory(Sound) is missing"),
        ("find_package(Slicer REQUIRED)", "", "find_package(Slicer REQUIRED) is missing"),
        ("SoundLib/*.py", "SoundLib/*.ipy", "SoundLib/networks/unet.py is on disk but not listed"),
        ("file(GLOB_RECURSE LIB", "file(GLOB LIB", "SoundLib/networks/unet.py is on disk but not listed"),
        ("Resources/*", "Resources/*.png", "Resources/UI/Sound.ui is on disk but not listed"),
        ("Testing/module/*.py ", "", "Testing/module/test_nodes.py is on disk but not listed"),
    ],
)
def test_a_fault_at_the_top_level_is_named(sound, old, new, finding):
    edit(sound / "CMakeLists.txt", old, new)
    assert any(finding in each for each in check(sound)), check(sound)


def test_missing_generic_tests_and_a_wrong_test_script_are_named(sound):
    edit(sound / "Sound" / "CMakeLists.txt", "  WITH_GENERIC_TESTS\n", "")
    edit(sound / "Testing" / "CMakeLists.txt", "Sound.py", "Gone.py")
    findings = check(sound)
    assert len(findings) == 2
    assert "WITH_GENERIC_TESTS" in findings[0]
    assert "../Sound/Gone.py does not exist" in findings[1]


def test_a_folder_without_cmake_lists_is_one_finding(tmp_path):
    assert len(check(tmp_path)) == 1
