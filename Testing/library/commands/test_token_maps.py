"""`segment --tokens` and `--prune-ratio`: a label map on the scan's grid, and words for what has no tokens."""

import json

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from transformer_bundle import DENSE, STP, write_nmsw_bundle, write_transformer_bundle

from EfficientSegLib.__main__ import main
from EfficientSegLib.volume import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct ä.nii.gz", (60, 40, 60), 1.6)
    write_tiny_bundle(folder / "tiny")
    write_transformer_bundle(folder / "stp", "stp_unetr", STP)
    write_transformer_bundle(folder / "dense", "stp_unetr", DENSE)
    write_nmsw_bundle(folder / "joined", "stp_unetr", STP)
    return folder


@pytest.fixture
def segment(folder, tmp_path, monkeypatch):
    """Runs `segment` on the CT in an empty current folder; the exit code."""
    monkeypatch.chdir(tmp_path)
    given = ["segment", str(folder / "ct ä.nii.gz"), "--threads", "1", "--device", "cpu"]
    return lambda bundle, *more: main([*given, "--bundle", str(folder / bundle), *more])


@pytest.mark.parametrize("bundle, name", [("stp", "tokens ä.nrrd"), ("joined", "new folder/tokens.nii.gz")])
def test_the_map_lies_on_the_grid_of_the_scan_and_the_record_names_it(segment, folder, tmp_path, capsys, bundle, name):
    assert segment(bundle, "--tokens", name, "--record", "run.json") == 0
    found, scan = read(tmp_path / name), read(folder / "ct ä.nii.gz")
    assert found.shape == scan.shape
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-4)
    counts = np.bincount(found.array.ravel(), minlength=5)
    assert len(counts) == 5 and (counts[1:] > 0).all() and (counts[0] == 0) == (bundle == "stp")
    noted = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["tokens"]
    assert noted == {
        "file": name,
        "stages": 3,
        "prune_ratio": 0.5,
        "voxels": {"not_read": counts[0], "dropped": counts[1:4].tolist(), "kept": counts[4]},
    }
    assert name in capsys.readouterr().out


def test_a_higher_ratio_keeps_less_and_is_written_down(segment, tmp_path):
    kept = []
    for ratio in ("0.25", "0.75"):
        assert segment("stp", "--tokens", "map.nrrd", "--record", "run.json", "--prune-ratio", ratio) == 0
        record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        assert record["tokens"]["prune_ratio"] == record["strategy"]["options"]["prune_ratio"] == float(ratio)
        kept.append(record["tokens"]["voxels"]["kept"])
    assert kept[0] > 2 * kept[1] > 0


def test_without_the_wish_there_is_no_map(segment, tmp_path):
    assert segment("stp", "--record", "run.json") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"ct ä.seg.nrrd", "run.json"}
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["tokens"] is None


@pytest.mark.parametrize(
    "bundle, more, words",
    [
        ("tiny", ["--tokens", "map.nrrd"], "--tokens does not go with bundle 'tiny'"),
        ("dense", ["--tokens", "map.nrrd"], "--tokens does not go with bundle 'dense'"),
        ("dense", ["--prune-ratio", "0.5"], "--prune-ratio does not go with bundle 'dense'"),
        ("stp", ["--tokens", "map.png"], "--tokens cannot be written to map.png"),
        ("stp", ["--tokens", "map.seg.nrrd"], "--tokens cannot be written to map.seg.nrrd"),
        ("stp", ["--tokens", "out.nrrd", "-o", "./out.nrrd"], "is the result"),
        ("stp", ["--prune-ratio", "0.999"], "prune_ratio is 0.999"),
    ],
)
def test_a_mistake_is_told_in_three_lines_and_nothing_is_written(segment, tmp_path, capsys, bundle, more, words):
    assert segment(bundle, *more) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%" not in line]
    assert words in told[-3] and len(told[-3:]) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ratio", ["0", "1", "-2", "nan", "inf", "half"])
def test_what_is_no_ratio_is_refused_with_the_command_line(segment, tmp_path, capsys, ratio):
    with pytest.raises(SystemExit) as ended:
        segment("stp", "--prune-ratio", ratio)
    assert ended.value.code == 2 and f"{ratio!r} is not between 0 and 1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bundle", ["tiny", "dense"])
def test_a_network_without_tokens_is_refused_before_its_model_is_loaded(segment, capsys, monkeypatch, bundle):
    monkeypatch.setattr("EfficientSegLib.job.run", lambda *_: pytest.fail("The run began."))
    assert segment(bundle, "--prune-ratio", "0.5") == 1
    assert f"--prune-ratio does not go with bundle {bundle!r}" in capsys.readouterr().err


def test_the_scan_itself_is_not_overwritten(segment, folder, tmp_path, capsys):
    scan = folder / "ct ä.nii.gz"
    before = scan.read_bytes()
    assert segment("stp", "--tokens", str(scan)) == 1
    assert "is the input" in capsys.readouterr().err and scan.read_bytes() == before
