"""`bundles --install`, `--delete` and `--where`, as they are typed."""

import shutil

import pytest
from tiny_bundle import write_tiny_bundle

from EfficientSegLib.__main__ import main
from EfficientSegLib.commands.segment import find_bundle
from EfficientSegLib.store.home import VARIABLE


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "ä home"))
    return tmp_path / "ä home"


def test_a_bundle_is_added_found_by_its_name_and_deleted(home, tmp_path, capsys):
    write_tiny_bundle(tmp_path / "given")
    packed = shutil.make_archive(str(tmp_path / "given"), "zip", tmp_path / "given")
    assert main(["bundles", "--install", packed]) == 0
    said = capsys.readouterr()
    assert "Installed: tiny 1, Random weights, for tests\nLicence: CC0-1.0. tests\nFolder: " in said.out
    assert "comparing the checksum" in said.err
    assert find_bundle("tiny") == home / "tiny-1"
    assert main(["bundles", "--check", "tiny"]) == 0
    assert main(["bundles"]) == 0
    listed = capsys.readouterr().out
    assert "Random weights, for tests" in listed and "demo-ct" in listed
    assert main(["bundles", "--install", str(tmp_path / "given")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["bundles", "--install", str(tmp_path / "given"), "--replace"]) == 0
    assert main(["bundles", "--delete", "tiny"]) == 0
    assert main(["bundles", "--delete", "tiny"]) == 1
    assert "None of your bundles is named 'tiny'" in capsys.readouterr().err


def test_an_unknown_name_is_told_with_the_known_ones(home, tmp_path, capsys):
    write_tiny_bundle(home / "of my own")
    assert main(["segment", "no-such-scan.nii.gz", "--bundle", "demo-tc", "-o", str(tmp_path / "out.nrrd")]) == 1
    what, why, _mend = capsys.readouterr().err.strip().splitlines()[-3:]
    assert "demo-tc is not a bundle" in what
    assert "demo-ct, demo-ct-slices, self-test, of my own" in why


def test_shipped_bundles_cannot_be_deleted(home, capsys):
    assert main(["bundles", "--delete", "demo-ct"]) == 1
    assert main(["bundles", "--where"]) == 0
    assert capsys.readouterr().out.strip() == str(home)


def test_an_address_without_a_network_is_an_error_in_words(home, capsys, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert main(["bundles", "--install", "http://127.0.0.1:9/bundle.zip"]) == 1
    said = capsys.readouterr().err
    assert "127.0.0.1 refuses the connection" in said and "add it from the file" in said
