"""Both transformers end to end, alone and as NMSW's local network: worker, evaluate and batch; the same twice."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import write_tiny_ct
from transformer_bundle import DENSE, SMT, STP, write_nmsw_bundle, write_transformer_bundle
from worker_client import WorkerClient

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices
from EfficientSegLib.__main__ import main
from EfficientSegLib.evaluation.cases import EvaluationCase
from EfficientSegLib.evaluation.compare import Method, compare
from EfficientSegLib.evaluation.results import Results
from EfficientSegLib.gate import Gate
from EfficientSegLib.protocol import Finished, Partial, Patches, Ready, Request, Shutdown, Tokens
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.volume import Volume, read, write

KINDS = {
    "stp": ("stp_unetr", STP),
    "evit": ("stp_unetr", {**STP, "selection": "evit", "completion": "mim"}),
    "dense": ("stp_unetr", DENSE),
    "smt": ("swin_smt", SMT),
}
EACH = [*KINDS, "nmsw stp", "nmsw smt"]
needs_bf16 = pytest.mark.skipif(devices.why_no_bfloat16("cpu") is not None, reason="no bfloat16 in hardware")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "in" / "ct.nii.gz", (48, 40, 50))
    for name, (network, options) in KINDS.items():
        write_transformer_bundle(folder / name, network, options)
        write_nmsw_bundle(folder / f"nmsw {name}", network, options)
    return folder


@pytest.fixture(scope="module")
def worker():
    with WorkerClient() as client:
        client.until(Ready)
        yield client
        client.send(Shutdown())


def ask(worker, folder, name, output, **fields):
    """Everything a warm worker says to one request."""
    fields = {"device": "cpu", "threads": 1, "save_segmentation": False, "keep": True, **fields}
    events = worker.ask(Request(str(folder / "in" / "ct.nii.gz"), str(output), str(folder / name), **fields))
    assert isinstance(events[-1], Finished), events[-1]
    return events


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("name", EACH)
def test_a_warm_worker_gives_the_same_twice_and_goes_on_exactly(worker, folder, tmp_path, name):
    tokens = "stp" in name or "evit" in name
    first = ask(worker, folder, name, tmp_path / "1", tokens=tokens)
    second = ask(worker, folder, name, tmp_path / "2", tokens=tokens)
    labels = np.load(first[-1].labels)
    np.testing.assert_array_equal(labels, np.load(second[-1].labels))
    assert labels.shape == (48, 40, 50) and len(np.unique(labels)) > 1
    assert [type(event) for event in first if isinstance(event, (Tokens, Finished))] == [Tokens] * tokens + [Finished]
    if tokens:
        np.testing.assert_array_equal(*(np.load(of(run, Tokens)[0].depths) for run in (first, second)))
    if name.startswith("nmsw"):
        more = ask(worker, folder, name, tmp_path / "3", continue_from=second[-1].run_id, options={"top_k": 4})
        fresh = ask(worker, folder, name, tmp_path / "4", options={"top_k": 4})
        assert of(more, Partial)[0].patches_read == 3 and len(of(more, Patches)[0].boxes) == 4
        np.testing.assert_array_equal(np.load(more[-1].labels), np.load(fresh[-1].labels))


@needs_bf16
@pytest.mark.parametrize("name", ["stp", "nmsw stp", "nmsw smt"])
def test_bfloat16_is_the_same_twice_and_near_to_float32(folder, name):
    bundle = bundles.load(folder / name)
    volume = read(folder / "in" / "ct.nii.gz")
    model = load_model(bundle, "cpu", "bf16")
    tokens = bundle.prunes_tokens
    one, other = (segment(volume, bundle, model, tokens=tokens) for _ in range(2))
    np.testing.assert_array_equal(one.labels, other.labels)
    if tokens:
        assert one.tokens.depths.dtype == np.uint8 and one.tokens.depths.max() == 4
        np.testing.assert_array_equal(one.tokens.depths, other.tokens.depths)
    exact = segment(volume, bundle, load_model(bundle, "cpu"))
    assert exact.patches == one.patches  # what is read does not depend on the precision
    assert (exact.labels == one.labels).mean() > 0.8  # random weights have many near ties


@needs_bf16
def test_bfloat16_is_asked_for_as_of_any_bundle(worker, folder, tmp_path):
    bundle = bundles.load(folder / "stp")
    gate = Gate("bf16", "torch", bundle.weights.sha256, 1.0, 1.0, (1, 2), ("ct.nii.gz",))
    bundles.save(replace(bundle, reduced_precision=(gate,)), folder / "stp")
    try:
        events = ask(worker, folder, "stp", tmp_path / "out", precision="bf16", tokens=True)
        assert np.load(of(events, Tokens)[0].depths).max() == 4
        record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
        assert record["precision"] == "bf16"
    finally:
        bundles.save(bundle, folder / "stp")


def test_evaluate_compares_prune_ratios_and_windows_with_nmsw(folder, tmp_path):
    scan = read(folder / "in" / "ct.nii.gz")
    reference = np.zeros(scan.shape, np.uint8)
    reference[20:40, 10:30, 15:35], reference[25:30, 15:20, 20:25] = 1, 2
    write(Volume(reference[None], scan.spacing_mm, scan.origin_mm, scan.direction), tmp_path / "label.nii.gz")
    case = EvaluationCase("ct", folder / "in" / "ct.nii.gz", tmp_path / "label.nii.gz")
    stp, joined = bundles.load(folder / "stp"), bundles.load(folder / "nmsw stp")
    methods = [Method(f"r={r}", stp, options={"prune_ratio": r}) for r in (None, 0.25, 0.75)]
    methods += [Method("nmsw", joined, options={"top_k": k, "prune_ratio": 0.75}) for k in (1, 3)]
    rows = compare(methods, [case], Results(tmp_path / "r.csv"))
    assert not [row.error for row in rows if row.error]
    costs = {(row.method, row.top_k): row.gmacs for row in rows}
    assert costs["r=0.25", None] > costs["r=None", None] > costs["r=0.75", None]
    assert costs["nmsw", 3] > costs["nmsw", 1]
    told = {row.method: json.loads(row.options) for row in rows}
    assert told["r=0.75"]["prune_ratio"] == 0.75
    # Results of times before the option keep their meaning: it is not written where it changes nothing.
    assert "prune_ratio" not in told["r=None"]


def test_batch_reads_a_tree_and_does_nothing_twice(folder, tmp_path, capsys):
    given = ["--bundle", str(folder / "nmsw stp"), "-o", str(tmp_path / "out"), "--threads", "1", "--device", "cpu"]
    for expected in ("done", ""):
        assert main(["batch", str(folder / "in"), *given]) == 0
        assert expected in capsys.readouterr().out
    with open(tmp_path / "out" / "results.csv", encoding="utf-8", newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done"]
