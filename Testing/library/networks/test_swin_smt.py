"""Swin SMT: the published counts, what is replaced and what is not, and what is refused."""

import copy
from functools import lru_cache

import pytest
import torch
from monai.networks import nets

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.cost import count, without_values
from EfficientSegLib.networks.inference import for_inference
from EfficientSegLib.networks.soft_moe import SoftMoE
from EfficientSegLib.networks.swin_smt import add_experts, stages

LABELS = 118  # TotalSegmentator's 117 structures and background
SMALL = {"feature_size": 12, "depths": [1, 2, 1, 1], "heads": [1, 2, 2, 2], "window": 3, "experts": 3}


def small(**options):
    torch.manual_seed(0)
    return networks.build("swin_smt", {**SMALL, **options}, 1, 3)


def image(*shape, batch=1):
    return torch.randn(batch, 1, *shape, generator=torch.Generator().manual_seed(1))


@lru_cache
def without_experts(version, feature_size=48):
    """Shapes only; the experts are added to copies, since building 290 M random numbers takes long."""
    options = {"experts": 0, "version": version, "feature_size": feature_size}
    return without_values(networks.build("swin_smt", options, 1, LABELS))


def with_experts(version, experts):
    model = copy.deepcopy(without_experts(version))
    if experts:
        with torch.device("meta"):
            add_experts(model.network, experts, moe_stages=3)
    return model


def millions(model):
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 3)


# Numbers: table 2 of the paper gives two decimals, cut off; the third is that of the published code.
@pytest.mark.parametrize(
    "experts, plain, residual",
    [(0, 62.192, 72.768), (4, 73.053, 83.629), (8, 87.015, 97.590), (16, 114.938, 125.513), (32, 170.784, 181.359)],
)
def test_parameters_of_both_versions_for_every_number_of_experts(experts, plain, residual):
    assert (millions(with_experts("v1", experts)), millions(with_experts("v2", experts))) == (plain, residual)


@pytest.mark.parametrize("feature_size, expected", [(24, 18.350), (48, 72.768), (96, 290.402)])
def test_parameters_of_swin_unetr_small_base_and_large(feature_size, expected):
    assert millions(without_experts("v2", feature_size)) == expected


def test_the_default_is_the_papers_network():
    model = networks.build("swin_smt", {}, 1, LABELS)
    assert millions(model) == 170.784 and model.num_labels == LABELS
    replaced = [[isinstance(block.mlp, SoftMoE) for block in stage.blocks] for stage in stages(model.network)]
    assert replaced == [[False, False], [True, True], [True, True], [True, True]]


@pytest.mark.parametrize("version, experts, dense, mixed", [("v1", 32, 774.46, 1413.93), ("v2", 4, 835.62, 1475.08)])
def test_multiply_adds_of_a_patch_whatever_the_number_of_experts(version, experts, dense, mixed):
    """The direct form multiplies tokens with slots three times, once for both tables; the fused one four times."""
    assert round(count(without_experts(version), (128, 128, 128)).macs / 1e9, 2) == dense
    once_more = sum(2 * tokens**2 * channels for tokens, channels in ((32**3, 96), (16**3, 192), (8**3, 384)))
    found = count(with_experts(version, experts), (128, 128, 128)).macs
    assert round((found - once_more) / 1e9, 2) == mixed


def test_the_papers_counter_sees_the_experts_and_leaves_products_out_as_it_does_in_attention():
    """An expert's layers do for its slots what the ordinary ones do for as many tokens; beside them one projection."""
    dense = count(without_experts("v1"), (128, 128, 128)).paper_macs
    mixed = count(with_experts("v1", 32), (128, 128, 128)).paper_macs
    projections = sum(2 * tokens * channels**2 for tokens, channels in ((32**3, 96), (16**3, 192), (8**3, 384)))
    assert mixed - dense == projections


def test_without_experts_it_is_monais_network():
    torch.manual_seed(0)
    theirs = nets.SwinUNETR(
        in_channels=1,
        out_channels=3,
        feature_size=12,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 2),
        window_size=3,
        use_v2=True,
        downsample="mergingv2",
    ).eval()
    ours = small(experts=0, version="v2", merging="mergingv2").eval()
    x = image(64, 32, 32)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("moe_stages, expected", [(1, [0, 0, 0, 1]), (2, [0, 0, 1, 1]), (4, [1, 1, 1, 1])])
def test_experts_are_in_the_deepest_stages(moe_stages, expected):
    model = small(moe_stages=moe_stages, depths=[1, 1, 1, 1])
    assert [isinstance(stage.blocks[0].mlp, SoftMoE) for stage in stages(model.network)] == expected


def test_the_same_network_reads_patches_of_any_size_and_any_number_of_channels():
    torch.manual_seed(0)
    model = networks.build("swin_smt", {**SMALL, "experts": 5}, 3, 2).eval()  # 5 divides no number of tokens here
    with torch.inference_mode():
        for shape in ((64, 32, 32), (32, 96, 64)):
            assert model(torch.randn(2, 3, *shape)).shape == (2, 2, *shape)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_checkpointing_changes_neither_answer_nor_gradient(version):
    x, found = image(64, 32, 32), []
    for checkpointing in (False, True):
        model = small(version=version, checkpointing=checkpointing).train()
        logits = model(x)
        logits.square().mean().backward()
        found.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


def test_what_drop_path_drops_is_a_whole_mixture():
    network = nets.SwinUNETR(1, 2, feature_size=12, num_heads=(1, 2, 2, 2), window_size=3, dropout_path_rate=0.999)
    torch.manual_seed(0)
    add_experts(network, experts=2, moe_stages=3)
    block, mask = stages(network)[3].blocks[1], None
    x = torch.randn(1, 2, 2, 2, 96)
    assert torch.equal(block.train()(x, mask), x) and not torch.equal(block.eval()(x, mask), x)


def test_settings_for_inference_are_exact_in_the_encoder_fused_window_attention_included():
    """In double precision, where rounding hides nothing: shifted and padded windows, norms, layouts, activations."""
    plain = small(version="v2", depths=[2, 2, 1, 1]).double().eval()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 0.05 * torch.rand_like(parameter)
    fast = for_inference(copy.deepcopy(plain))
    attentions = [block.attn for stage in stages(fast.network) for block in stage.blocks]
    assert all(attention.use_flash_attention for attention in attentions)
    x = image(64, 32, 32, batch=2).double()
    with torch.inference_mode():
        for one, other in zip(fast.network.swinViT(x), plain.network.swinViT(x), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"experts": -1}, "experts is -1.*0 is Swin UNETR without experts"),
        ({"moe_stages": 0}, "moe_stages is 0.*experts to 0"),
        ({"moe_stages": 5}, "moe_stages is 5.*4 stages"),
        ({"slot_divisor": 0}, "slot_divisor is 0"),
        ({"feature_size": 32}, "feature_size is 32.*multiple of 12"),
        ({"heads": [3, 6, 12, 25]}, "Stage 4 has 384 channels, which 25 heads cannot share"),
        ({"version": "v3"}, "'version' is 'v3'.*'v1', 'v2'"),
        ({"merging": "mean"}, "'merging' is 'mean'.*'mergingv2'"),
        ({"window": 1}, "window of one token"),
        ({"experts": 2.5}, "'experts' is 2.5"),
    ],
)
def test_options_that_make_no_network_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        networks.build("swin_smt", options, 1, 2)


@pytest.mark.parametrize("name", ["swin_smt", "swin_unetr"])
@pytest.mark.parametrize(
    "shape, words",
    [
        ((100, 96, 64), "100 × 96 × 64 voxels.*multiples of 32.*Use 128 × 96 × 64"),
        ((32, 32, 32), "32 × 32 × 32 voxels.*64 or more along one axis.*Use 64 × 32 × 32"),
        ((16, 64, 33), "Use 32 × 64 × 64"),
    ],
)
def test_patches_that_cannot_be_merged_are_refused_with_a_size_that_can(name, shape, words):
    options = {key: SMALL[key] for key in ("feature_size", "depths", "heads", "window")}
    model = networks.build(name, options, 1, 2)
    with pytest.raises(OptionError, match=words):
        model(image(*shape))
