"""`python -m EfficientSegLib`: files out, words for mistakes, exit codes for scripts."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib import bundle as bundles
from EfficientSegLib.__main__ import main, parser
from EfficientSegLib.commands.evaluate import parse_strategy
from EfficientSegLib.environment import ROOT
from EfficientSegLib.volume import read, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "ct ä.nii.gz")
    write_tiny_bundle(folder / "bundles" / "tiny")
    return folder


@pytest.fixture
def segment(folder, tmp_path, monkeypatch):
    """Runs `segment` on the CT in an empty current folder; the exit code."""
    monkeypatch.chdir(tmp_path)
    given = ["segment", str(folder / "ct ä.nii.gz"), "--bundle", str(folder / "bundles" / "tiny"), "--threads", "1"]
    return lambda *more: main([*given, "--device", "cpu", *more])


@pytest.mark.parametrize("name", ["out.nii.gz", "new folder/out.nrrd", "out.mha"])
def test_label_maps_lie_on_the_grid_of_the_scan(segment, folder, tmp_path, name):
    assert segment("-o", name) == 0
    labels, scan = read(tmp_path / name), read(folder / "ct ä.nii.gz")
    assert labels.shape == scan.shape and set(np.unique(labels.array)) <= {0, 1, 2} and labels.array.any()
    np.testing.assert_allclose(labels.affine, scan.affine, atol=1e-4)


def test_without_a_name_the_segmentation_is_named_after_the_scan_and_nothing_else_is_left(segment, tmp_path, capsys):
    assert segment() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ct ä.seg.nrrd"]
    said = capsys.readouterr().out
    assert "Ball" in said and "ct ä.seg.nrrd" in said and "Research only" in said


@pytest.mark.parametrize("patches, read_of_them", [("3", 3), ("coarse", 0), ("all", 80)])
def test_the_number_of_patches_is_obeyed_and_recorded(segment, tmp_path, patches, read_of_them):
    assert segment("--patches", patches, "--record", "run.json") == 0
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["patches"]["read"] == read_of_them and record["patches"]["candidates"] == 80


def test_a_picture_is_drawn(segment, tmp_path):
    assert segment("--picture", "look.png") == 0
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "more, words",
    [
        (["-o", "out.jpg"], "out.jpg cannot be written"),
        (["--patches", "81"], "81"),
        (["--strategy", "guessing"], "guessing"),
        (["--threads", "0"], "threads is 0"),
        (["--bundle", "nowhere"], "nowhere is not a bundle"),
    ],
)
def test_a_mistake_is_told_in_three_lines_and_nothing_is_written(segment, tmp_path, capsys, more, words):
    (tmp_path / "ct ä.seg.nrrd").write_text("earlier work")
    assert segment(*more) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip() and "%" not in line]
    assert words in told[-3] and len(told[-3:]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["ct ä.seg.nrrd"]
    assert (tmp_path / "ct ä.seg.nrrd").read_text() == "earlier work"


def test_the_scan_itself_is_never_overwritten(folder, capsys):
    path = folder / "ct ä.nii.gz"
    before = path.read_bytes()
    assert main(["segment", str(path), "--bundle", str(folder / "bundles" / "tiny"), "-o", str(path)]) == 1
    assert "is the input" in capsys.readouterr().err and path.read_bytes() == before


@pytest.mark.parametrize("given", [["segment"], ["segment", "x", "--bundle", "y", "--patches", "-1"], ["fly"], []])
def test_wrong_usage_is_exit_code_2(given, capsys):
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2 and "usage" in capsys.readouterr().err


def test_a_folder_without_images_is_refused_in_our_words_alone(folder, tmp_path, capfd):
    given = ["segment", str(tmp_path), "--bundle", str(folder / "bundles" / "tiny")]
    assert main([*given, "-o", str(tmp_path / "out.nrrd")]) == 1
    said = capfd.readouterr().err
    assert "holds no DICOM image" in said and "HDF5" not in said


def test_a_number_of_patches_for_a_strategy_that_reads_all_is_refused_in_words(folder, tmp_path, capsys):
    given = ["segment", str(folder / "ct ä.nii.gz"), "--bundle", str(folder / "bundles" / "tiny"), "--patches", "3"]
    assert main([*given, "-o", str(tmp_path / "out.nrrd"), "--strategy", "sliding_window"]) == 1
    assert "--patches does not go with --strategy sliding_window" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_number_of_patches_for_a_bundle_that_reads_all_is_refused_before_anything_is_computed(tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path / "all")
    bundles.save(replace(bundle, strategy=bundles.Component("sliding_window", {})), tmp_path / "all")
    for command, source in (("segment", "ct.nii.gz"), ("batch", "")):
        given = [command, str(tmp_path / source), "--bundle", str(tmp_path / "all"), "--patches", "3"]
        assert main([*given, "-o", str(tmp_path / "out.nrrd")]) == 1
        told = capsys.readouterr().err.splitlines()
        assert told[0].startswith("--patches does not go with the strategy of ") and told[2] == "Leave --patches away."
    assert [path.name for path in tmp_path.iterdir()] == ["all"]


@pytest.mark.parametrize("option", ["--record", "--picture"])
def test_an_extra_file_that_cannot_be_written_is_told_before_the_run(folder, tmp_path, capsys, option):
    (tmp_path / "a file").write_text("no folder")
    given = ["segment", str(folder / "ct ä.nii.gz"), "--bundle", str(folder / "bundles" / "tiny")]
    assert main([*given, "-o", str(tmp_path / "out.nrrd"), option, str(tmp_path / "a file" / "x")]) == 1
    assert "Nothing can be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_bundles_are_listed_and_a_broken_one_hides_no_other(folder, tmp_path, capsys):
    write_tiny_bundle(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bundle.json").write_text("{")
    assert main(["bundles", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "tiny" in said.out and "Random weights, for tests" in said.out and "not JSON" in said.err


def test_a_good_bundle_passes_its_check_and_a_changed_one_does_not(tmp_path, capsys):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    assert main(["bundles", "--check", bundle.folder]) == 0
    bundle.weights_path.write_bytes(bundle.weights_path.read_bytes() + b"x")
    assert main(["bundles", "--check", bundle.folder]) == 1
    assert "checksum" in capsys.readouterr().err


@pytest.fixture
def evaluated(folder, tmp_path):
    """A folder with the CT as `images/one_0000.nii.gz`, and labels drawn where it is bright."""
    scan = read(folder / "ct ä.nii.gz")
    (tmp_path / "images").mkdir()
    shutil.copy(folder / "ct ä.nii.gz", tmp_path / "images" / "one_0000.nii.gz")
    drawn = (scan.array > -300).astype(np.uint8)
    write(replace(scan, array=drawn), tmp_path / "labels" / "one.nii.gz")
    return tmp_path


def test_methods_are_evaluated_side_by_side_and_a_second_call_runs_nothing(evaluated, folder, capsys):
    given = [
        "evaluate",
        "--images",
        str(evaluated / "images"),
        "--labels",
        str(evaluated / "labels"),
        "--device",
        "cpu",
    ]
    given += ["--bundle", f"Tiny#1={folder / 'bundles' / 'tiny'}", "--patches", "0", "2", "--threads", "1"]
    given += ["--predictions", f"Copy={evaluated / 'labels'}", "--output", str(evaluated / "out"), "--plots"]
    assert main(given) == 0
    said = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("|")[1:4]] for line in said.splitlines() if line.startswith("|")]
    assert [line[:2] for line in lines[2:]] == [["Tiny", "0"], ["Tiny", "2"], ["Copy", "–"]] and lines[-1][2] == "1.000"
    names = {"results.csv", "summary.md", "summary.csv", "dice_by_patches.png", "dice_by_label.png"}
    assert {path.name for path in (evaluated / "out").iterdir()} == names
    before = (evaluated / "out" / "results.csv").read_bytes()
    assert main(given) == 0
    assert capsys.readouterr().out == said and (evaluated / "out" / "results.csv").read_bytes() == before


def test_a_failed_run_is_told_and_is_exit_code_1_with_the_table_written(evaluated, folder, capsys):
    given = [
        "evaluate",
        "--images",
        str(evaluated / "images"),
        "--labels",
        str(evaluated / "labels"),
        "--device",
        "cpu",
    ]
    given += ["--bundle", str(folder / "bundles" / "tiny"), "--patches", "0", "999", "--threads", "1"]
    assert main([*given, "--output", str(evaluated / "out")]) == 1
    said = capsys.readouterr()
    assert "Failed: tiny, K = 999, one: " in said.err and "| tiny" in said.out
    assert (evaluated / "out" / "summary.md").is_file()


@pytest.mark.parametrize(
    "given, words",
    [
        (["--labels", "labels"], "nothing to evaluate"),
        (["--labels", "labels", "--predictions", "labels"], "labels of the predictions are not known"),
        (["--bundle", "BUNDLE"], "There are no cases"),
        (["--bundle", "BUNDLE", "--labels", "labels"], "There are no cases"),
        (["--bundle", "BUNDLE", "--labels", "labels", "--images", "labels", "--fold", "1"], "A fold is named in part"),
        (["--bundle", "BUNDLE", "--cases", "labels"], "labels is no data set"),
        (["--bundle", "BUNDLE", "--strategy", "nmsw:top_k"], "'top_k'"),
        (["--bundle", "BUNDLE", "--strategy", "guessing"], "'guessing'"),
        (["--bundle", "BUNDLE", "--cases", "x.json", "--images", "labels"], "Cases are given twice"),
    ],
)
def test_an_evaluation_that_cannot_begin_is_told_in_three_lines(evaluated, folder, monkeypatch, capsys, given, words):
    monkeypatch.chdir(evaluated)
    given = [part.replace("BUNDLE", str(folder / "bundles" / "tiny")) for part in given]
    assert main(["evaluate", *given, "--output", "out"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3 and words in told[0] and not (evaluated / "out").exists()


def test_a_strategy_is_written_with_its_options():
    assert parse_strategy("nmsw") == ("nmsw", {})
    assert parse_strategy("nmsw:top_k=all,class_weights=one") == ("nmsw", {"top_k": None, "class_weights": "one"})
    given = "sliding_window:patch_size=[64,64,32],overlap=0.25"
    assert parse_strategy(given) == ("sliding_window", {"patch_size": [64, 64, 32], "overlap": 0.25})


def test_a_training_without_its_configuration_fails_in_words(tmp_path, capsys):
    given = ["train", str(tmp_path / "no.json"), "--data", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(given) == 1
    assert "no.json" in capsys.readouterr().err


def test_what_a_killed_command_has_left_is_gone_with_the_next_one_and_nothing_else(segment, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {"gone": f"{socket.gethostname()}-{gone.pid}-a1", "here": f"{socket.gethostname()}-{os.getpid()}-a1"}
    names |= {"elsewhere": f"another-machine-{gone.pid}-a1", "queue": "scratch"}
    folders = {kind: tmp_path / f".efficientseg-{name}" for kind, name in names.items()}
    for left in folders.values():
        left.mkdir()
        (left / "labels.npy").write_bytes(b"half")
    assert segment("-o", "out.nrrd", "--patches", "coarse") == 0
    left = {path.name for path in tmp_path.iterdir() if path.name.startswith(".efficientseg")}
    assert left == {folders[kind].name for kind in ("here", "elsewhere", "queue")}


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_polite_kill_keep_what_is_done(folder, tmp_path, number):
    write_tiny_bundle(tmp_path / "slow", overlap=0.85, top_k=None)
    command = [sys.executable, "-m", "EfficientSegLib", "segment", str(folder / "ct ä.nii.gz")]
    more = ["--bundle", str(tmp_path / "slow"), "--threads", "1", "-o", str(tmp_path / "out.nrrd")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        shown = b""
        while b"reading patches, 2" not in shown:
            shown += (block := run.stderr.read(64))
            assert block, shown
        run.send_signal(number)
        began = time.monotonic()
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 130 and time.monotonic() - began < 30
    assert b"Stopped early" in said and read(tmp_path / "out.nrrd").shape == (40, 36, 44)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".efficientseg")]


@pytest.mark.parametrize(
    "given",
    [
        ["segment", "CT", "--bundle", "B"],
        ["batch", "CTS", "--bundle", "B"],
        ["plan", "DATA"],
        ["train", "CONFIG", "--data", "DATA"],
        ["evaluate"],
        ["experts", "B", "CT"],
    ],
)
def test_every_command_that_writes_takes_the_short_form_of_output(given):
    assert parser().parse_args([*given, "-o", "there"]).output == "there"
