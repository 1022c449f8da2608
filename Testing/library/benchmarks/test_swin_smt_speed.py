"""The benchmark of Swin SMT: what it compares computes the same, and its tables hold what was measured."""

import json

import torch
from benchmarks import swin_smt as benchmark

from EfficientSegLib.networks.soft_moe import SoftMoE


def test_the_direct_form_it_measures_is_the_same_layer():
    torch.manual_seed(0)
    moe, x = SoftMoE(12, 4).double(), torch.randn(2, 64, 12).double()
    torch.testing.assert_close(benchmark.Direct(moe)(x), moe(x))


def test_a_model_that_reads_one_patch_answers_all_others_alike():
    class Network(torch.nn.Module):
        size_multiple, num_labels = (1, 1, 1), 1

        def forward(self, x):
            return x + 1

    model = benchmark.FirstOnly(Network())
    first = model(torch.zeros(1, 1, 2, 2, 2))
    assert model(torch.ones(1, 1, 2, 2, 2)) is first and model.seconds >= 0


def test_rows_are_noted_at_once_and_tables_hold_their_numbers(tmp_path, monkeypatch):
    row = ["layer", "fused", 64, 12, True]
    monkeypatch.setattr(benchmark, "LAYER_ROWS", [tuple(row[1:])])
    results, written = tmp_path / "results.jsonl", tmp_path / "table.md"
    patch = {"row": ["patch", 128, "Swin SMT (E = 32)", "plain"], "seconds": 12.34, "peak_mb": 5678.0, "grown_mb": 1.0}
    results.write_text(json.dumps(patch) + "\n", encoding="utf-8")
    given = ["swin_smt.py", "--parts", "layers", "--results", str(results), "--write", str(written)]
    monkeypatch.setattr("sys.argv", given)
    benchmark.main()
    found = benchmark.read(results)
    assert [each["row"] for each in found] == [patch["row"], row] and found[1]["seconds"] > 0
    text = written.read_text(encoding="utf-8")
    assert "| plain | 12.3 | 1.00 | 5678 |" in text and "| fused | 64 x 12 | forward and back |" in text
    benchmark.main()
    assert len(benchmark.read(results)) == 2  # what is there is not run again
