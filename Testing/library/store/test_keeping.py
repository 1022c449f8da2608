"""The user's bundles: what comes in is whole and checked, nothing is lost on the way, and only the user's own go."""

import json
import os
import shutil
import stat
import zipfile
from dataclasses import replace

import pytest

from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import BundleError
from EfficientSegLib.store import home as homes
from EfficientSegLib.store import keeping
from EfficientSegLib.store.home import user_folder
from EfficientSegLib.store.keeping import AlreadyThereError, delete, install, named
from EfficientSegLib.store.progress import StoreStopped

SHIPPED = keeping.SHIPPED / "self-test"
WEIGHTS = b"weights of a test" * 1000


@pytest.fixture
def home(tmp_path):
    return tmp_path / "Dr. Jöhn Ωé" / "Bundles"


@pytest.fixture
def source(tmp_path):
    """A bundle of the shipped form, with papers and with things that do not belong to it."""
    return make(tmp_path / "given")


def make(folder, version="1", weights=WEIGHTS, **changes):
    folder.mkdir(parents=True)
    (folder / "weights.pt").write_bytes(weights)
    bundle = bundles.load(SHIPPED)
    named = replace(bundle.weights, sha256=bundles.checksum(folder / "weights.pt"), url=changes.pop("url", None))
    bundles.save(replace(bundle, name="täst", version=version, weights=named, **changes), folder)
    (folder / "README.md").write_text("how it was made")
    (folder / "LICENSE").write_text("CC0")
    (folder / "run.py").write_text("raise SystemExit")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.pt").write_bytes(b"large")
    return folder


def pack(folder, path, inside="", method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for item in sorted(folder.rglob("*")):
            if item.is_file():
                archive.write(item, inside + item.relative_to(folder).as_posix())
    return path


def held(home):
    """Everything below the user's folder, without the workshop's own empty folder."""
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.name != homes.WORKSHOP)


KEPT = ["LICENSE", "README.md", "bundle.json", "weights.pt"]


@pytest.mark.parametrize("form", ["folder", "zip", "zip of a folder", "stored zip"])
def test_a_bundle_comes_in_whole_and_what_does_not_belong_to_it_stays_behind(home, source, tmp_path, form):
    given = source
    if form != "folder":
        method = zipfile.ZIP_STORED if form == "stored zip" else zipfile.ZIP_DEFLATED
        given = pack(source, tmp_path / "ä.zip", "täst/" if form == "zip of a folder" else "", method)
    bundle = install(given, home)
    assert held(home) == ["t_st-1", *(f"t_st-1/{name}" for name in KEPT)]
    assert bundle.name == "täst" and bundle.weights_path.read_bytes() == WEIGHTS
    bundles.verify_weights(bundle)


def test_the_same_name_and_version_is_never_overwritten_unasked(home, source, tmp_path):
    first = install(source, home)
    other = make(tmp_path / "other", weights=b"newer")
    with pytest.raises(AlreadyThereError, match="täst 1 is there already.*replaced"):
        install(other, home)
    assert first.weights_path.read_bytes() == WEIGHTS
    again = install(other, home, replace=True)
    assert again.folder == first.folder and again.weights_path.read_bytes() == b"newer"
    assert install(make(tmp_path / "third", version="2"), home).folder != first.folder
    assert [path.name for path in bundles.find([home])] == ["t_st-1", "t_st-2"]
    assert list((home / homes.WORKSHOP).iterdir()) == []


def test_two_names_that_look_alike_on_a_disk_do_not_meet(home, tmp_path):
    one = make(tmp_path / "one")
    bundles.save(replace(bundles.load(one), name="tÖst"), one)
    two = make(tmp_path / "two", weights=b"other")
    assert {install(one, home).name, install(two, home).name} == {"tÖst", "täst"}
    assert len(bundles.find([home])) == 2


def test_a_name_cannot_lead_out_of_the_folder(home, source):
    bundles.save(replace(bundles.load(source), name="../../etc", version=".."), source)
    assert install(source, home).folder.startswith(str(home))


def test_a_shipped_bundle_has_no_double(home):
    with pytest.raises(BundleError, match="comes with EfficientSeg"):
        install(SHIPPED, home)
    assert held(home) == []


def test_a_broken_archive_or_wrong_weights_leave_nothing(home, source, tmp_path):
    whole = pack(source, tmp_path / "whole.zip", method=zipfile.ZIP_STORED)
    content = whole.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    flipped = bytearray(content)
    flipped[content.index(WEIGHTS[:40])] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("cut.zip", "flipped.zip", "text.zip"):
        with pytest.raises(BundleError, match=f"{name} is no .zip that can be read.*Get the file again"):
            install(tmp_path / name, home)
    (source / "weights.pt").write_bytes(b"others")
    with pytest.raises(BundleError, match="checksum.*Get the bundle again"):
        install(source, home)
    with pytest.raises(BundleError, match="is not there"):
        install(tmp_path / "nowhere", home)
    assert held(home) == []


def evil(path, *members):
    """A .zip of a manifest and these (name, content, mode) members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "name, mode, said",
    [
        ("../evil.pt", 0o644, "written elsewhere"),
        ("täst/../../evil.pt", 0o644, "written elsewhere"),
        ("/tmp/evil.pt", 0o644, "written elsewhere"),
        ("..\\evil.pt", 0o644, "written elsewhere"),
        ("C:\\evil.pt", 0o644, "written elsewhere"),
        ("C:evil.pt", 0o644, "written elsewhere"),
        ("README.md", stat.S_IFLNK | 0o777, "is a link"),
    ],
)
def test_an_archive_that_leads_elsewhere_is_refused(home, source, tmp_path, name, mode, said):
    manifest = (source / "bundle.json").read_bytes()
    path = evil(
        tmp_path / "evil.zip",
        ("bundle.json", manifest, 0o644),
        ("weights.pt", WEIGHTS, 0o644),
        (name, b"/etc/passwd", mode),
    )
    with pytest.raises(BundleError, match=said):
        install(path, home)
    assert held(home) == [] and not (tmp_path / "evil.pt").exists() and not (home.parent / "evil.pt").exists()


def test_an_archive_that_would_fill_the_disk_is_refused(home, source, tmp_path, monkeypatch):
    bomb = make(tmp_path / "bomb", weights=bytes(64 << 20))
    with pytest.raises(BundleError, match="would unpack to"):
        install(pack(bomb, tmp_path / "bomb.zip"), home)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(2001):
            archive.writestr(f"{number}.txt", "")
    with pytest.raises(BundleError, match="holds 2001 files"):
        install(tmp_path / "many.zip", home)
    monkeypatch.setattr(homes.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1000))
    for given in (source, pack(source, tmp_path / "fine.zip")):
        with pytest.raises(BundleError, match="the disk has 1 kB free"):
            install(given, home)
    assert held(home) == []


@pytest.mark.parametrize("names", [[], ["one/bundle.json", "two/bundle.json"], ["deep/er/bundle.json"]])
def test_an_archive_holds_one_bundle(home, source, tmp_path, names):
    manifest = (source / "bundle.json").read_bytes()
    path = evil(tmp_path / "x.zip", ("notes.txt", b"", 0o644), *((name, manifest, 0o644) for name in names))
    with pytest.raises(BundleError, match="x.zip holds (no|2) bundles.*One bundle.json"):
        install(path, home)


def test_a_manifest_must_be_one_and_is_named_as_the_user_knows_it(home, tmp_path):
    path = evil(tmp_path / "x.zip", ("bundle.json", b"{}", 0o644))
    with pytest.raises(BundleError, match="x.zip"):
        install(path, home)
    for wrong in ("../w.pt", "..", "bundle.json", "a\\b"):
        folder = make(tmp_path / f"wrong {len(wrong)}")
        said = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        said["weights"]["file"] = wrong
        (folder / "bundle.json").write_text(json.dumps(said))
        with pytest.raises(BundleError, match="must lie in the bundle's folder"):
            install(folder, home)
        shutil.rmtree(folder)


def test_a_manifest_nested_too_deep_is_refused(home, tmp_path):
    (tmp_path / "bundle.json").write_text("[" * 200_000)
    with pytest.raises(BundleError, match="is not JSON"):
        install(tmp_path / "bundle.json", home)


def test_links_beside_the_weights_are_not_followed(home, source, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    os.symlink(tmp_path / "secret.txt", source / "notes.txt")
    assert "notes.txt" not in os.listdir(install(source, home).folder)


def test_stopping_leaves_nothing_and_tells_how_far_it_is(home, source):
    said = []
    with pytest.raises(StoreStopped):
        install(source, home, report=lambda *all: said.append(all), stopped=lambda: len(said) > 1)
    assert held(home) == [] and said[0][0] == "unpack"
    install(source, home, report=lambda *all: said.append(all))
    sizes = sum((source / name).stat().st_size for name in ("LICENSE", "README.md", "weights.pt"))
    assert ("unpack", sizes, sizes) in said and said[-1][0] == "check"


def test_a_full_disk_is_said_in_words_and_leaves_nothing(home, source, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("EfficientSegLib.store.progress.Watch.copy", full)
    with pytest.raises(BundleError, match="the disk is full.*Free some space"):
        install(source, home)
    assert held(home) == []


def test_a_manifest_alone_needs_an_address(home, tmp_path):
    alone = make(tmp_path / "alone", url="https://example.org/w.pt")
    (alone / "weights.pt").unlink()
    assert not install(alone / "bundle.json", home).weights_path.exists()
    nothing = make(tmp_path / "nothing", version="2")
    (nothing / "weights.pt").unlink()
    with pytest.raises(BundleError, match="weights.pt is missing"):
        install(nothing, home)


def test_only_the_users_own_bundles_can_be_deleted(home, source, tmp_path):
    bundle = install(source, home)
    for other in (SHIPPED, source, home, home / homes.WORKSHOP, home / "t_st-1" / ".."):
        with pytest.raises(BundleError, match="is not deleted"):
            delete(other, home)
    os.symlink(source, home / "link")
    with pytest.raises(BundleError, match="is not deleted"):
        delete(home / "link", home)
    delete(bundle.folder, home)
    assert bundles.find([home]) == [home / "link"] and (source / "weights.pt").exists()


def test_names_find_bundles_and_say_where_there_are_several(home, source, tmp_path):
    install(source, home)
    assert named("täst", home) == named("t_st-1", home) == home / "t_st-1"
    install(make(tmp_path / "two", version="2"), home)
    with pytest.raises(BundleError, match="Several.*t_st-1, t_st-2"):
        named("täst", home)
    with pytest.raises(BundleError, match="None"):
        named("other", home)


def test_what_a_killed_process_left_is_swept(home, source):
    left = home / homes.WORKSHOP / "new-999999999-1"
    left.mkdir(parents=True)
    (left / "weights.pt").write_bytes(b"half")
    (home / homes.WORKSHOP / "abc.part").write_bytes(b"goes on")
    install(source, home)
    assert [path.name for path in (home / homes.WORKSHOP).iterdir()] == ["abc.part"]


@pytest.mark.parametrize(
    "platform, environment, ends",
    [
        ("linux", {"HOME": "/h"}, "/h/.local/share/EfficientSeg/Bundles"),
        ("linux", {"HOME": "/h", "XDG_DATA_HOME": "/d"}, "/d/EfficientSeg/Bundles"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/EfficientSeg/Bundles"),
        ("win32", {"USERPROFILE": "/u", "LOCALAPPDATA": "/l"}, "/l/EfficientSeg/Bundles"),
        ("win32", {"USERPROFILE": "/u"}, "/u/AppData/Local/EfficientSeg/Bundles"),
        ("win32", {"USERPROFILE": "/u", "EFFICIENTSEG_BUNDLES": "/mine"}, "/mine"),
    ],
)
def test_each_platform_has_its_folder(platform, environment, ends):
    assert user_folder(environment, platform).as_posix() == ends
