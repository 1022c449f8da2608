"""The recipe patch with labels that may overlap: its terms, and that each network of patches learns by them."""

import dataclasses

import pytest
import torch
from transformer_bundle import STP

from EfficientSegLib import networks
from EfficientSegLib.training import recipe
from EfficientSegLib.training.independent_losses import sigmoid_dice_ce
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.members import label_sets, table
from EfficientSegLib.training.samples import Sample

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
MEMBERS = table(label_sets([(2,), (1, 2)], 3), 3)  # label 1 lies in label 2


def drawn_sample():
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(32, 32, 32, dtype=torch.uint8)
    target[4:28, 4:28, 4:28] = 2
    target[10:22, 10:22, 10:22] = 3  # both
    image = target[None] / 3 + 0.1 * torch.rand(1, 32, 32, 32, generator=generator)
    return Sample(image, target, torch.ones(3, dtype=torch.bool), "drawn", members=MEMBERS)


def cost(model, sample=None, patch=(32, 32, 32), seed=1, **options):
    options = recipe("patch").Options(**{"patch_size": patch, "patches": 1, **options})
    return recipe("patch").losses(model, sample or drawn_sample(), options, 0.5, torch.Generator().manual_seed(seed))[
        "patch"
    ]


@pytest.mark.parametrize("name, options", [("unet", UNET), ("stp_unetr", STP)])
def test_one_patch_costs_what_its_logits_cost_and_the_gradient_reaches_all(name, options):
    torch.manual_seed(0)
    model, sample = networks.build(name, options, 1, 2).eval(), drawn_sample()
    truth = MEMBERS[sample.target.long()][..., 1:].reshape(-1, 2)
    logits = model(sample.image[None])[0].flatten(1).T
    for squared in (False, True):
        expected = sigmoid_dice_ce(logits, truth, None, 1.0, 0.5, squared=squared)
        found = cost(model, dice_weight=1.0, ce_weight=0.5, squared=squared)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    cost(model.train()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_the_cost_is_float32_in_bf16():
    torch.manual_seed(0)
    model = networks.build("unet", UNET, 1, 2).train()
    with torch.autocast("cpu", torch.bfloat16):
        assert cost(model).dtype == torch.float32


def test_voxels_that_are_ignored_and_labels_that_nobody_drew_change_nothing():
    torch.manual_seed(0)
    model, sample = networks.build("unet", UNET, 1, 2).eval(), drawn_sample()
    hidden = sample.target.clone()
    hidden[:16] = IGNORE
    logits = model(sample.image[None])[0, :, 16:].flatten(1).T
    truth = MEMBERS[sample.target[16:].long()][..., 1:].reshape(-1, 2)
    found = cost(model, dataclasses.replace(sample, target=hidden))
    torch.testing.assert_close(found, sigmoid_dice_ce(logits, truth), rtol=1e-4, atol=1e-5)
    plain = dataclasses.replace(sample, annotated=torch.tensor([False, True, False]))
    without = torch.where(sample.target == 2, 0, sample.target).to(torch.uint8)  # label 2 goes where it is alone
    torch.testing.assert_close(cost(model, plain), cost(model, dataclasses.replace(plain, target=without)))


def test_a_small_network_learns_labels_that_lie_in_each_other():
    torch.manual_seed(0)
    model = networks.build("unet", UNET, 1, 2).train()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    costs = []
    for step in range(40):
        loss = cost(model, patch=(16, 16, 16), seed=step, dice_weight=1.0, ce_weight=1.0, squared=True, foreground=1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        costs.append(float(loss.detach()))
    assert sum(costs[-5:]) < 0.5 * sum(costs[:5])
    sample = drawn_sample()
    with torch.no_grad():
        found = model.eval()(sample.image[None])[0] > 0
    inner = sample.target == 3
    assert float((found[0] & found[1])[inner].float().mean()) > 0.9
