"""STP + MTA + UNETR as a whole: its contract, its options, its limits."""

import copy

import pytest
import torch

from EfficientSegLib import devices, networks
from EfficientSegLib.errors import DeviceError, OptionError
from EfficientSegLib.networks import PatchModel, TokenModel
from EfficientSegLib.networks.inference import for_inference, for_training
from EfficientSegLib.networks.openvino import for_openvino
from EfficientSegLib.networks.stp_unetr import DenseUNETR, Options
from EfficientSegLib.networks.tokens.encoding import Parted, Tokens

SMALL = {
    **{"patch_size": [32, 32, 48], "prune_ratio": 0.5, "width": 24, "depth": 5, "heads": 2},
    **{"prune_after": [1, 2, 3], "feature_size": 4},
}
KINDS = [
    {},
    {"decoder": "v1"},
    {"completion": "mim"},
    {"noise": False},
    {"selection": "evit"},
    {"selection": "dynamic_vit"},
    {"selection": "dynamic_vit", "completion": "mim"},
]

needs_bf16 = pytest.mark.skipif(
    devices.why_no_bfloat16("cpu") is not None, reason="this processor calculates bfloat16 by imitation only"
)


def build(**options):
    torch.manual_seed(0)
    return networks.build("stp_unetr", {**SMALL, **options}, 1, 3)


def image(batch=1):
    return torch.randn(batch, 1, 32, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", KINDS)
def test_every_kind_meets_the_contract_and_tells_when_tokens_were_dropped(options):
    model = build(**options).eval()
    assert isinstance(model, PatchModel) and isinstance(model, TokenModel)
    assert (model.patch_size, model.token_size, model.stages) == ((32, 32, 48), (8, 8, 8), 3)
    with torch.inference_mode():
        logits, depths = model.with_depths(image(2))
        assert torch.equal(logits, model(image(2)))
    assert logits.shape == (2, 3, 32, 32, 48)
    assert depths.shape == (2, 4, 4, 6) and depths.dtype == torch.uint8
    for sample in depths:  # 96 tokens; half of those that are left, three times
        assert sample.flatten().bincount().tolist() == [48, 24, 12, 12]


@pytest.mark.parametrize("options", KINDS)
def test_every_parameter_of_every_kind_learns_in_the_form_for_training(options):
    model = for_training(build(**options).train())
    torch.manual_seed(0)
    loss = (model(image()) * torch.randn(1, 3, 32, 32, 48)).sum()
    added = model.auxiliary_loss()
    assert (added is not None) == (options.get("selection") == "dynamic_vit")
    (loss if added is None else loss + added).backward()
    silent = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent


def test_the_dense_network_reads_patches_of_one_size_and_drops_nothing():
    model = build(selection="none")
    assert isinstance(model, PatchModel) and not isinstance(model, TokenModel)
    assert model.patch_size == (32, 32, 48) and model(image()).shape == (1, 3, 32, 32, 48)


@pytest.mark.parametrize("selection", ["stp", "none"])
def test_another_size_is_refused_with_the_one_that_is_read(selection):
    with pytest.raises(OptionError, match=r"patch of \(32, 32, 32\) voxels.*takes \(32, 32, 48\) and nothing else"):
        build(selection=selection)(torch.zeros(1, 1, 32, 32, 32))


def test_the_ratio_can_be_changed_between_passes():
    model = build().eval()
    with torch.inference_mode():
        before = model(image())
        model.prune_ratio = 0.25
        found, depths = model.with_depths(image())
        assert depths.flatten().bincount().tolist() == [24, 18, 14, 40]
        fresh = build(prune_ratio=0.25).eval()
        assert torch.equal(found, fresh(image()))  # the ratio is no weight: nothing else has changed
        model.prune_ratio = 0.5
        assert torch.equal(model(image()), before)


@pytest.mark.parametrize("ratio, words", [(0.0, "above 0 and below 1"), (1.0, "above 0"), (0.9, "needs 1111 tokens")])
def test_a_ratio_that_cannot_be_is_refused_and_the_old_one_stays(ratio, words):
    model = build()
    with pytest.raises(OptionError, match=words):
        model.prune_ratio = ratio
    assert model.prune_ratio == 0.5 and model.eval().with_depths(image())[1].max() == 3


def test_with_nothing_to_drop_it_is_the_dense_encoder_and_the_assembly():
    """A ratio too small for floating point to see: 1 - r is 1, and all tokens survive."""
    model = build(prune_ratio=1e-17).eval()
    dense = build(selection="none").eval()
    missing, _ = dense.encoder.load_state_dict(model.encoder.state_dict(), strict=False)
    assert not missing
    with torch.inference_mode():
        logits, depths = model.with_depths(image())
        assert (depths == 3).all()
        x = dense.encoder.embedding(image())
        for block in dense.encoder.blocks:
            x = block(x)
        x = dense.encoder.norm(x)
        places = torch.arange(96)[None]
        nothing = [Tokens(x[:, :0], places[:, :0])] * 3
        tokens = model.completion(Parted(x[:, :1], [*nothing, Tokens(x[:, 1:], places)]))
        volume = tokens.transpose(1, 2).reshape(1, 24, 4, 4, 6)
        torch.testing.assert_close(logits, model.decoder(image(), [volume] * 4))


def test_inference_does_not_depend_on_torchs_generator_and_training_does_on_nothing_else():
    model = build()
    with torch.inference_mode():
        first, second = (model.eval()(image()) for _ in range(2))
        assert torch.equal(first, second)
        torch.manual_seed(5)
        drawn = model.train()(image())
        assert not torch.equal(drawn, model(image()))
        torch.manual_seed(5)
        assert torch.equal(drawn, model(image()))


@pytest.mark.parametrize("options", [*KINDS, {"selection": "none"}])
def test_the_settings_for_inference_change_no_answer_and_no_choice(options):
    plain = build(**options).eval()
    fast = for_inference(copy.deepcopy(plain))
    with torch.inference_mode():
        torch.testing.assert_close(fast(image()), plain(image()), rtol=1e-4, atol=1e-4)
        if not isinstance(plain, DenseUNETR):
            logits, depths = fast.with_depths(image())
            assert torch.equal(depths, plain.with_depths(image())[1]) and depths.dtype == torch.uint8
            assert torch.equal(logits, fast(image()))


@needs_bf16
def test_bfloat16_asks_scores_of_float32_and_keeps_nearly_all_choices():
    model = for_inference(build().eval(), "bf16")
    heads = [layer for pruning in model.encoder.prunings for layer in pruning.modules()]
    assert {parameter.dtype for layer in heads for parameter in layer.parameters()} == {torch.float32}
    assert model.encoder.blocks[0].mlp[0].weight.dtype == torch.bfloat16
    plain = build().eval()
    with torch.inference_mode():
        logits, depths = model.with_depths(image())
        assert logits.dtype == torch.float32 and depths.dtype == torch.uint8
        assert (depths == plain.with_depths(image())[1]).float().mean() > 0.8  # random scores lie close together


def test_openvino_is_refused_with_the_reason():
    with pytest.raises(DeviceError, match="OpenVINO cannot run SparseUNETR.*one size of patch.*'torch'"):
        for_openvino(build())


def test_presets_are_the_papers():
    btcv, brats = Options(), Options(preset="brats")
    assert (btcv.chosen_patch, btcv.chosen_ratio, btcv.chosen_decoder) == ((96,) * 3, 0.9, "v2")
    assert (brats.chosen_patch, brats.chosen_ratio, brats.chosen_decoder) == ((128,) * 3, 0.75, "v1")
    assert (btcv.width, btcv.depth, btcv.heads, btcv.prune_after, btcv.tokens_are) == (768, 12, 12, (3, 6, 9), (8,) * 3)
    for options in (Options(token_size=16, prune_ratio=0.8), Options(decoder="original", selection="none")):
        assert options.chosen_decoder == "original" and options.tokens_are == (16, 16, 16)
    own = Options(preset="brats", patch_size=(64, 32, 32), prune_ratio=0.6, decoder="v2", token_size=8)
    assert (own.grid, own.chosen_ratio, own.chosen_decoder) == ((8, 4, 4), 0.6, "v2")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"patch_size": [96, 96, 90]}, r"multiple of 16 voxels, 32 or more. Use \(96, 96, 96\)"),
        ({"patch_size": [16, 96, 96]}, r"Use \(32, 96, 96\)"),
        ({"patch_size": [40, 96, 96]}, r"decoder 'v2'.*Use \(32, 96, 96\)"),
        ({"patch_size": [42, 40, 0], "decoder": "v1"}, r"multiple of 8 voxels, 8 or more. Use \(40, 40, 8\)"),
        (
            {"patch_size": [32, 32, 32]},
            "of 64 tokens none would be left after 3 prunings.*needs 1111 tokens or more. Use 0.75 or less",
        ),
        ({"prune_ratio": 1.0}, "prune_ratio is 1.0.*above 0 and below 1"),
        ({"token_size": 16, "decoder": "v1"}, "token_size is 16 and decoder is 'v1'.*tokens of 8 voxels"),
        ({"token_size": 4}, "token_size is 4"),
        ({"width": 100, "heads": 10}, "width is 100.*multiple of 6"),
        ({"width": 768, "heads": 7}, "heads is 7.*and by the heads"),
        ({"heads": 0}, "heads is 0"),
        ({"depth": 0}, "depth is 0"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"prune_after": [3, 3, 6]}, "prune_after is .*from 1 to 11"),
        ({"prune_after": [3, 6, 12]}, "behind the last block nothing is saved"),
        ({"prune_after": []}, "prune_after is"),
        ({"selection": "best"}, "'selection' is 'best'.*'stp', 'evit', 'dynamic_vit', 'none'"),
    ],
)
def test_options_that_cannot_be_are_refused_with_what_can(options, words):
    with pytest.raises(OptionError, match=words):
        networks.check("stp_unetr", options)


def test_sizes_that_the_refusals_name_are_taken():
    networks.check("stp_unetr", {"patch_size": [32, 96, 96], "prune_ratio": 0.6})
    networks.check("stp_unetr", {"patch_size": [32, 32, 32], "prune_ratio": 0.75})
    networks.check("stp_unetr", {"patch_size": [40, 40, 8], "decoder": "v1", "prune_ratio": 0.6})
    networks.check("stp_unetr", {"patch_size": [32, 32, 32], "selection": "none"})  # no ratio to fit
