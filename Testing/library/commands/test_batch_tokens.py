"""`batch --tokens` and `--prune-ratio`: a map beside each result, treated as results are; words for what has none."""

import json
import shutil

import numpy as np
import pytest
from tiny_bundle import write_tiny_ct
from transformer_bundle import DENSE, STP, write_transformer_bundle

from EfficientSegLib.__main__ import main
from EfficientSegLib.studies.queue_file import QueueFile
from EfficientSegLib.volume import read

MAP = "b ä/two.tokens.nrrd"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct.nii.gz", (40, 32, 40), 1.6)
    write_transformer_bundle(folder / "stp", "stp_unetr", STP)
    write_transformer_bundle(folder / "dense", "stp_unetr", DENSE)
    return folder


@pytest.fixture
def tree(source, tmp_path):
    for name in ("one.nii.gz", "b ä/two.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "ct.nii.gz", tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def batch(source, tree, tmp_path):
    """Runs `batch` on the tree; the exit code."""
    given = ["batch", str(tree), "-o", str(tmp_path / "out"), "--threads", "1", "--device", "cpu"]
    return lambda *more, bundle="stp": main([*given, "--bundle", str(source / bundle), *more])


def record(folder, case="b ä/two"):
    return json.loads((folder / f"{case}.run.json").read_text(encoding="utf-8"))


def maps(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.tokens.*")}


def states(folder):
    return {name: entry.state for name, entry in QueueFile(folder).read().items()}


@pytest.mark.parametrize("given, ending", [([], ".nrrd"), (["--format", "nii.gz"], ".nii.gz")])
def test_each_result_has_its_map_and_the_record_names_it(batch, tree, tmp_path, given, ending):
    assert batch("--tokens", "--prune-ratio", "0.75", *given) == 0
    out = tmp_path / "out"
    assert maps(out) == {f"one.tokens{ending}", f"b ä/two.tokens{ending}"}
    found, scan = read(out / f"b ä/two.tokens{ending}"), read(tree / "b ä" / "two.nii.gz")
    np.testing.assert_allclose(found.affine, scan.affine, atol=1e-4)
    counts = np.bincount(found.array.ravel(), minlength=5)
    assert found.shape == scan.shape and len(counts) == 5 and counts[0] == 0 < counts[1:].min()
    noted = record(out)
    assert noted["tokens"]["file"] == str(out / f"b ä/two.tokens{ending}")
    assert noted["tokens"]["prune_ratio"] == noted["strategy"]["options"]["prune_ratio"] == 0.75
    assert noted["tokens"]["voxels"]["kept"] == counts[4]


def test_a_map_is_made_once_and_made_again_for_another_ratio(batch, tmp_path, capsys):
    out = tmp_path / "out"
    assert batch("--prune-ratio", "0.5") == 0 and not maps(out)
    assert batch("--tokens", "--prune-ratio", "0.5") == 0 and len(maps(out)) == 2  # done, but without maps
    before = read(out / MAP).array
    capsys.readouterr()
    assert batch("--tokens", "--prune-ratio", "0.5") == 0 and " of " not in capsys.readouterr().err
    assert batch("--prune-ratio", "0.5") == 0 and " of " not in capsys.readouterr().err and len(maps(out)) == 2
    (out / MAP).unlink()
    assert batch("--tokens", "--prune-ratio", "0.5") == 0 and "1 of 1: b ä/two" in capsys.readouterr().err
    np.testing.assert_array_equal(read(out / MAP).array, before)
    assert batch("--tokens", "--prune-ratio", "0.75") == 0
    assert (read(out / MAP).array == 4).sum() < (before == 4).sum()


def test_a_run_without_maps_leaves_none_of_an_older_result(batch, tmp_path):
    assert batch("--tokens") == 0 and batch("--prune-ratio", "0.75") == 0
    assert not maps(tmp_path / "out") and record(tmp_path / "out")["tokens"] is None
    assert batch("--tokens") == 0 and len(maps(tmp_path / "out")) == 2


def test_what_others_made_or_changed_is_never_replaced(batch, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "b ä").mkdir(parents=True)
    (out / MAP).write_bytes(b"somebody's")
    assert batch("--tokens") == 1 and states(out) == {"b ä/two": "failed", "one": "done"}
    assert "two.tokens.nrrd is there, and was not made by this queue" in capsys.readouterr().err
    assert (out / MAP).read_bytes() == b"somebody's" and not (out / "b ä" / "two.seg.nrrd").exists()
    (out / MAP).unlink()
    assert batch("--tokens") == 0
    (out / MAP).write_bytes(b"changed")
    assert batch("--tokens", "--prune-ratio", "0.75") == 1
    assert "two.tokens.nrrd was changed after it was made" in capsys.readouterr().err
    assert batch("--prune-ratio", "0.75") == 0 and (out / MAP).read_bytes() == b"changed"


def test_maps_beside_the_scans_are_no_scans(batch, tree):
    beside = ("-o", str(tree), "--tokens")
    assert batch(*beside) == 0 and batch(*beside) == 0
    assert set(states(tree)) == {"b ä/two", "one"} and maps(tree) == {MAP, "one.tokens.nrrd"}


def test_a_map_that_cannot_be_written_leaves_the_older_result_and_map(batch, tmp_path, monkeypatch, capsys):
    assert batch("--tokens", "--include", "*two*") == 0
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in out.rglob("*two.*") if path.name != "two.run.json"}
    assert len(before) == 2

    def full(made, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("EfficientSegLib.studies.place._move", full)
    assert batch("--tokens", "--prune-ratio", "0.75", "--include", "*two*") == 1
    assert "the disk is full" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before and not list(out.rglob("*.part*"))
    monkeypatch.undo()
    assert batch("--tokens", "--prune-ratio", "0.75", "--include", "*two*") == 0
    assert record(out)["tokens"]["prune_ratio"] == 0.75 and (out / MAP).read_bytes() != before[out / MAP]


@pytest.mark.parametrize(
    "bundle, more, words",
    [
        ("dense", ["--tokens"], "--tokens does not go with bundle 'dense'"),
        ("dense", ["--prune-ratio", "0.5"], "--prune-ratio does not go with bundle 'dense'"),
        ("stp", ["--prune-ratio", "0.999"], "prune_ratio is 0.999"),
    ],
)
def test_what_would_fail_every_case_is_told_before_the_first(batch, tmp_path, capsys, bundle, more, words):
    assert batch(*more, bundle=bundle) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert words in told[0] and len(told) == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ratio", ["0", "1", "-2", "nan", "half"])
def test_what_is_no_ratio_is_refused_with_the_command_line(batch, tmp_path, capsys, ratio):
    with pytest.raises(SystemExit) as ended:
        batch("--prune-ratio", ratio)
    assert ended.value.code == 2 and f"{ratio!r} is not between 0 and 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_tells_the_maps_name(capsys):
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    assert "CASE.tokens.nrrd" in capsys.readouterr().out
