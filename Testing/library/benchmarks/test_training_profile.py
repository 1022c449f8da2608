"""The profile of a training step: it times the step that is taken without it, whole and in its parts."""

import pytest
import torch
from benchmarks import tokens, training_profile

TINY = {"patch_size": [32] * 3, "prune_ratio": 0.5, "width": 12, "heads": 2, "depth": 4, "prune_after": [1, 2]}
TINY |= {"feature_size": 2, "noise": False, "drop_path": 0.0}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    case = ("32³", TINY, 1, 3, 0)
    for module in (tokens, training_profile):
        monkeypatch.setitem(module.CASES, "btcv", case)


def training(precision: str = "fp32") -> tokens.Training:
    return tokens.Training("btcv", "sparse", precision, torch.device("cpu"))


def weights(given: tokens.Training) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in given.model.parameters()])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_watched_step_is_the_same_step_and_every_part_has_its_time(precision):
    plain, watched = training(precision), training(precision)
    before = weights(plain)
    plain.step()
    watch = training_profile.Watch(watched.model)
    with watch:
        watched.step(lambda phase: setattr(watch, "phase", phase))
    assert not torch.equal(weights(plain), before)
    torch.testing.assert_close(weights(watched), weights(plain), rtol=0, atol=2e-6)
    assert set(watch.seconds) == set(training_profile.PARTS) - {"rest"}
    timed = {part for part, seconds in watch.seconds.items() if seconds > 0}
    assert timed >= {"encoder", "loss", "optimiser", "norms", *training_profile.DIRECTIONS}


def test_parts_are_told_by_layer_phase_and_operation():
    told = training_profile.part_of
    assert told("encoder.prunings.1.head.read.1", "backward", "aten::mm") == "score heads"
    assert told("encoder.blocks.0.mlp.0", "forward", "aten::addmm") == "encoder"
    assert told("decoder.ups.3.conv_block.conv3.conv", "forward", "aten::mm") == "convolutions with a kernel of 1"
    assert told("decoder.ups.3.conv_block.norm1", "backward", "aten::native_batch_norm_backward") == "norms"
    assert told("decoder.image.layer.conv1", "backward", "aten::mkldnn_convolution") == training_profile.DIRECTIONS[0]
    assert told("decoder.image.layer.conv1", "forward", "aten::mkldnn_convolution") == "convolutions, forward"
    assert told("encoder.embedding.projection", "backward", training_profile.DIRECTIONS[1]) == "encoder"
    assert told("", "backward", "aten::mul") == "loss"
    assert told("", "clipping", "aten::mul") == "clipping"


def test_the_table_says_what_would_be_gained_without_the_parts_that_both_have():
    dense = {"encoder": 6.0, "convolutions, forward": 1.0, "loss": 0.5, "page faults": 0.5, "whole": 8.0}
    sparse = {"encoder": 2.0, "convolutions, forward": 1.0, "loss": 0.5, "page faults": 0.5, "whole": 4.0}
    text = training_profile.table("btcv", "fp32", dense, sparse)
    assert "| encoder | 6.00 | 2.00 |" in text and "| **whole step** | **8.00** | **4.00** |" in text
    for gain in ("+100 %", "+114 %", "+133 %", "+200 %"):
        assert gain in text
