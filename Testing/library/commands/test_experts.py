"""`experts`: a folder of maps on the scan's grid, whole or not at all."""

import json

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from transformer_bundle import SMT, write_transformer_bundle

from EfficientSegLib.__main__ import main
from EfficientSegLib.volume import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct ä.nii.gz", (40, 36, 44), 2.0)
    write_tiny_bundle(folder / "tiny")
    write_transformer_bundle(folder / "smt", "swin_smt", SMT)
    return folder


@pytest.fixture
def experts(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--threads", "1", "--device", "cpu"]
    return lambda bundle, *given: main(["experts", str(folder / bundle), str(folder / "ct ä.nii.gz"), *more, *given])


@pytest.mark.parametrize("centre", [(), ("--centre", "20,18,3")])
def test_each_expert_has_a_map_and_a_description_says_what_they_mean(experts, folder, tmp_path, capsys, centre):
    assert experts("smt", "--output", "new folder/Karten ä", "--stage", "3", *centre) == 0
    output = tmp_path / "new folder" / "Karten ä"
    names = {"expert-1.nii.gz", "expert-2.nii.gz", "largest.nii.gz", "experts.json"}
    assert {path.name for path in output.iterdir()} == names and len(list(output.parent.iterdir())) == 1
    told = json.loads((output / "experts.json").read_text(encoding="utf-8"))
    assert (told["stage"], told["block"], told["experts"], told["slots_per_expert"]) == (3, 1, 2, 64)
    assert "dispatch weights" in told["meaning"] and told["token_mm"] == [16.0, 16.0, 16.0]
    assert ("averaged" in told["overlaps"]) == (told["region"] is None) == (not centre)
    scan = read(folder / "ct ä.nii.gz")
    for entry in told["maps"]:
        found = read(output / entry["file"])
        assert found.shape == scan.shape and found.array.dtype == np.float32
        np.testing.assert_allclose(found.affine, scan.affine, atol=1e-4)
        np.testing.assert_allclose(found.array.max(), entry["highest"], rtol=0.5)
    largest = read(output / told["largest"]["file"]).array
    assert set(np.unique(largest)) <= {0, 1, 2} and largest.any()
    assert "2 experts of stage 3, block 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    "bundle, more, words",
    [
        ("tiny", [], "no experts"),
        ("smt", ["--stage", "1"], "Stage 1 has no block 1"),
        ("smt", ["--block", "2"], "Stage 2 has no block 2"),
        ("smt", ["--centre", "40,0,0"], "The centre is (40, 0, 0)"),
        ("smt", ["--threads", "0"], "threads is 0"),
    ],
)
def test_a_mistake_is_told_in_three_lines_and_nothing_is_left(experts, tmp_path, capsys, bundle, more, words):
    assert experts(bundle, "-o", "maps", *more) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%" not in line]
    assert words in told[-3]
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone_and_an_empty_one_is_used(experts, tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    assert experts("smt", "-o", "maps") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "maps").iterdir()}
    assert len(before) == 4 and experts("smt", "-o", "maps") == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "maps").iterdir()} == before


def test_help_says_what_a_stage_is(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["experts", "--help"])
    assert ended.value.code == 0 and "1 has the smallest tokens" in " ".join(capsys.readouterr().out.split())
