"""The fused soft mixture of experts computes what its definition says, for any number of tokens, in little memory."""

import json
from itertools import accumulate

import pytest
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from EfficientSegLib.networks.soft_moe import SoftMoE, attend


def build(channels, experts, slot_divisor=1):
    """Every parameter differs from its first value; the norms' stay near 1, as training leaves them."""
    torch.manual_seed(0)
    moe = SoftMoE(channels, experts, slot_divisor)
    with torch.no_grad():
        for norm in (moe.norm, moe.slot_norm):
            norm.weight += 0.1 * torch.randn_like(norm.weight)
    return moe


def tokens(count, channels, batch=1):
    return torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(1))


def rms_norm(x, weight):
    return x / x.square().mean(-1, keepdim=True).sqrt() * weight


def slots_as_published(moe, x):
    """Normalised tokens padded to whole groups, the mask of the true ones, and the slots, from their means."""
    missing = -x.shape[1] % moe.group
    mask = functional.pad(torch.ones(x.shape[1]), (0, missing)).bool()
    padded = functional.pad(rms_norm(x, moe.norm.weight), (0, 0, 0, missing)) * mask[:, None]
    groups = padded.unflatten(1, (-1, moe.group)).sum(2) / mask.view(-1, moe.group).sum(1)[:, None]
    experts, channels = len(moe.experts), x.shape[-1]
    wanted = torch.stack([groups @ moe.to_slots.weight[e * channels : (e + 1) * channels].T for e in range(experts)], 1)
    return padded, mask, rms_norm(wanted, moe.slot_norm.weight).flatten(1, 2)


def tables(padded, mask, slots):
    """Dispatch and combine, (B, padded m, E s), written down whole."""
    table = padded @ slots.transpose(1, 2)
    dispatch = table.masked_fill(~mask[:, None], -torch.finfo(table.dtype).max).softmax(1)
    return dispatch, table.softmax(2)


def direct(moe, x, made=None):
    """The layer as published; `made` replaces its normalised tokens, their mask and its slots."""
    padded, mask, slots = made or slots_as_published(moe, x)
    dispatch, combine = tables(padded, mask, slots)
    mixtures = (dispatch.transpose(1, 2) @ padded).unflatten(1, (len(moe.experts), -1))
    answers = torch.cat([expert(mixtures[:, e]) for e, expert in enumerate(moe.experts)], 1)
    return (combine @ answers)[:, : x.shape[1]]


SIZES = [(512, 384, 4), (512, 384, 32), (4096, 192, 4), (4096, 192, 32), (500, 96, 32), (33, 12, 32)]  # m, C, E


@pytest.mark.parametrize("count, channels, experts", SIZES)
def test_it_computes_what_is_published_also_where_the_experts_do_not_divide_the_tokens(count, channels, experts):
    moe, x = build(channels, experts).double(), tokens(min(count, 1000), channels).double()
    with torch.inference_mode():
        torch.testing.assert_close(moe(x), direct(moe, x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("count, channels, experts", SIZES)
def test_fused_and_direct_products_differ_by_rounding_only(count, channels, experts):
    """Of the same tokens and slots: their products reach hundreds, and what rounds them is magnified by the softmax."""
    moe, x = build(channels, experts), tokens(count, channels)
    with torch.inference_mode():
        seen, missing = moe.tokens(x), -count % experts
        mask = functional.pad(torch.ones(count), (0, missing)).bool()
        expected = direct(moe, x, (functional.pad(seen, (0, 0, 0, missing)), mask, moe.slots(seen)))
        torch.testing.assert_close(moe(x), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("count, slot_divisor", [(64, 4), (70, 4), (5, 3)])
def test_fewer_slots_are_the_same_layer_with_larger_groups(count, slot_divisor):
    moe, x = build(12, 4, slot_divisor).double(), tokens(count, 12, batch=2).double()
    assert moe.slots(moe.tokens(x)).shape[1] == 4 * -(-count // (4 * slot_divisor))
    torch.testing.assert_close(moe(x), direct(moe, x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("count, experts", [(512, 4), (512, 32), (100, 32), (7, 32), (1, 3)])
def test_there_are_as_many_slots_as_tokens_rounded_up_and_all_shares_add_to_one(count, experts):
    moe, x = build(24, experts), tokens(count, 24)
    with torch.inference_mode():
        slots = moe.slots(moe.tokens(x))
        assert slots.shape[1] == experts * -(-count // experts) >= count
        torch.testing.assert_close(slots, slots_as_published(moe, x)[2], rtol=0, atol=5e-6)
        dispatch, combine = tables(*slots_as_published(moe, x))
        torch.testing.assert_close(dispatch.sum(1), torch.ones(1, slots.shape[1]))
        torch.testing.assert_close(combine.sum(2), torch.ones(1, dispatch.shape[1]))
        assert not dispatch[:, count:].any()  # what only fills up feeds nobody
        ones = torch.ones_like(moe.tokens(x))
        torch.testing.assert_close(attend(slots, moe.tokens(x), ones), torch.ones_like(slots))


@pytest.mark.parametrize("count", [64, 61])
def test_of_tokens_that_are_all_the_same_every_slot_is_that_token_normalised(count):
    moe = build(24, 8)
    x = tokens(1, 24).expand(1, count, 24)
    with torch.inference_mode():
        seen, given = moe.tokens(x), []
        moe.experts[3].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        found = moe(x)
    torch.testing.assert_close(given[0], seen[:, :1].expand_as(given[0]))
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


def test_the_axes_between_are_one_row_in_raster_order_and_samples_stay_apart():
    moe = build(12, 3)
    volume = torch.randn(2, 4, 3, 5, 12, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        found = moe(volume)
        for sample, answer in zip(volume, found, strict=True):
            row = torch.stack([sample[i, j, k] for i in range(4) for j in range(3) for k in range(5)])
            torch.testing.assert_close(answer.flatten(0, 2), direct(moe, row[None])[0], rtol=0, atol=2e-6)


@pytest.mark.parametrize("count", [64, 61])
@pytest.mark.parametrize("threads", [1, 3])
def test_gradients_are_those_of_the_direct_form(count, threads):
    moe, x = build(12, 4).double(), tokens(count, 12).double().requires_grad_()
    aim = tokens(count, 12).double()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        ours = torch.autograd.grad((moe(x) * aim).sum(), [x, *moe.parameters()])
        theirs = torch.autograd.grad((direct(moe, x) * aim).sum(), [x, *moe.parameters()])
    finally:
        torch.set_num_threads(before)
    assert len(ours) == 1 + 3 + 4 * 4
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_training_never_holds_the_table_and_the_measure_sees_it_in_the_direct_form(tmp_path):
    moe, x = build(8, 4), tokens(4096, 8)
    table = 4096**2 * 4
    assert peak_bytes(lambda: SoftMoE.__call__(moe, x).sum().backward(), tmp_path / "ours") < 0.25 * table
    assert peak_bytes(lambda: direct(moe, x).sum().backward(), tmp_path / "direct") > 2 * table


def peak_bytes(run, trace):
    """The most that the tensors made in a run hold at once, as torch itself counts it: alike on every system."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    seen.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]")
    return max(accumulate(change for _, change in changes))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_norms_are_taken_in_float32_at_least(kind):
    moe = build(24, 4)
    assert moe.tokens(tokens(8, 24).to(kind)).dtype == torch.float32
    assert moe.double().tokens(tokens(8, 24).double()).dtype == torch.float64
