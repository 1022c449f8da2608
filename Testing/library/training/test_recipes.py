"""Recipes: every part of a model learns, and patches are drawn where they should be."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.training import recipe
from EfficientSegLib.training.boxes import random_box, random_box_with_contrast
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.samples import Sample

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
PATCH = (16, 16, 16)


def drawn_sample(seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.zeros(32, 32, 32, dtype=torch.uint8)
    target[4:14, 4:14, 4:14], target[20:28, 18:30, 16:30] = 1, 2
    image = target[None] / 2 + 0.1 * torch.rand(1, 32, 32, 32, generator=generator)
    return Sample(image, target, torch.ones(3, dtype=torch.bool), "drawn")


def built(name="nmsw", **options):
    torch.manual_seed(0)
    own = {"global_options": UNET, "local_options": UNET, "patch_size": list(PATCH), "downsampling": [2, 2, 2]}
    return networks.build(name, {**(own if name == "nmsw" else UNET), **options}, 1, 3).train()


def cost(model, name="nmsw", progress=0.5, **options):
    module = recipe(name)
    return module.losses(model, drawn_sample(), module.Options(**options), progress, torch.Generator().manual_seed(1))


def test_the_gradient_of_nmsw_reaches_both_networks_scores_and_class_weights():
    model = built()
    sum(cost(model).values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    for part in (model.global_network, model.local_network, model.score_head):
        assert any(parameter.grad.abs().max() > 0 for parameter in part.parameters())
    assert (model.theta.grad != 0).all()


def test_scores_learn_from_the_patches_they_chose_not_only_from_the_entropy():
    model = built()
    terms = cost(model, entropy=0.0, sampled_patches=2)
    (terms["patch"] + terms["high"]).backward()
    assert any(parameter.grad.abs().max() > 0 for parameter in model.score_head.parameters())


def test_without_sampled_patches_only_the_entropy_moves_the_scores():
    model = built()
    sum(cost(model, entropy=0.0, sampled_patches=0).values()).backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in model.score_head.parameters())


def test_the_global_network_learns_nothing_from_the_high_resolution_term():
    model = built()
    cost(model, sampled_patches=0)["high"].backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.global_network.parameters())
    assert model.theta.grad.abs().max() > 0


def test_the_entropy_is_rewarded():
    assert cost(built(), entropy=1.0)["entropy"] < 0


def test_more_sampled_patches_than_candidates_means_all_of_them():
    assert torch.isfinite(sum(cost(built(), sampled_patches=1000).values()))


def test_a_training_without_random_patches_is_refused():
    with pytest.raises(OptionError, match="at least one random patch"):
        recipe("nmsw").Options(random_patches=0)


def test_a_patch_model_overfits_one_sample():
    model = built("unet")
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    history = []
    for _ in range(25):
        terms = cost(model, "patch", patch_size=PATCH, patches=1)
        optimiser.zero_grad()
        terms["patch"].backward()
        optimiser.step()
        history.append(terms["patch"].item())
    assert history[-1] < 0.5 * history[0]


def test_random_boxes_lie_inside_and_half_of_them_meet_rare_labels():
    target = torch.zeros(40, 40, 40, dtype=torch.uint8)
    target[30:32, 30:32, 30:32] = 1
    generator = torch.Generator().manual_seed(0)
    boxes = [random_box(target, (8, 8, 8), 0.5, generator) for _ in range(200)]
    assert all(a >= 0 and b <= 40 for box in boxes for a, b in zip(box.start, box.stop))
    assert 70 < sum(bool(target[box.slices()].any()) for box in boxes) < 130


def test_an_ignored_voxel_is_no_label_to_look_for():
    target = torch.zeros(40, 40, 40, dtype=torch.uint8)
    target[0], target[-1] = IGNORE, 3
    boxes = [random_box(target, (8, 8, 8), 1.0, torch.Generator().manual_seed(seed)) for seed in range(20)]
    assert all(box.stop[0] == 40 for box in boxes)


def test_an_empty_sample_is_refused_by_name():
    empty = Sample(torch.zeros(1, 32, 32, 32), torch.zeros(32, 32, 32), torch.ones(3, dtype=torch.bool), "case 7")
    with pytest.raises(TrainingError, match="case 7 is empty"):
        random_box_with_contrast(empty, PATCH, 0.5, torch.Generator())
