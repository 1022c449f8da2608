"""Recipes: every part of a model learns, and patches are drawn where they should be."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.geometry import PatchBox, enlarged, patch_grid
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.networks.topk import sample_without_replacement
from EfficientSegLib.options import read_options
from EfficientSegLib.patches import gaussian_window
from EfficientSegLib.resampling import enlarge
from EfficientSegLib.training import recipe
from EfficientSegLib.training.boxes import counts_in, label_box, random_box, random_box_with_contrast
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.losses import IGNORE, SampleLoss
from EfficientSegLib.training.members import present_labels
from EfficientSegLib.training.recipes.nmsw import blended, coarse_errors, draw_scores, merged, once
from EfficientSegLib.training.recipes.zoom_out import jittered, zoomed
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


def cost(model, name="nmsw", progress=0.5, sample=None, **options):
    module = recipe(name)
    return module.losses(
        model, sample or drawn_sample(), module.Options(**options), progress, torch.Generator().manual_seed(1)
    )


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


def test_all_candidates_may_be_sampled_but_not_one_more():
    assert torch.isfinite(sum(cost(built(), sampled_patches=27).values()))
    why = r"sampled_patches is 28.*drawn of \(32, 32, 32\) voxels has 27 candidate.*\(16, 16, 16\)"
    with pytest.raises(TrainingError, match=why):
        cost(built(), sampled_patches=28)


def test_the_random_foreground_baseline_reads_unscaled_patches_and_trains_no_scores():
    model, read = built(), []
    model.local_network.register_forward_pre_hook(lambda _, inputs: read.extend(inputs[0]))
    terms = cost(model, draw="uniform", sampled_patches=2)
    sum(terms.values()).backward()
    assert set(terms) == {"low", "patch", "high"}
    assert all(parameter.grad is None for parameter in model.score_head.parameters())
    image = drawn_sample().image
    candidates = [image[(slice(None), *box.slices())] for box in patch_grid((32, 32, 32), PATCH, 0.5)]
    assert sum(any(torch.equal(patch, candidate) for candidate in candidates) for patch in read) >= 2


def test_the_random_foreground_baseline_draws_every_foreground_patch_equally_often_and_no_other():
    foreground = torch.arange(27) % 9 == 0  # three patches
    proposal = Proposal(torch.zeros(1, 2, 4, 4, 4), torch.linspace(-30, 30, 27), foreground)
    scores = draw_scores(proposal, "uniform")
    drawn = torch.zeros(27)
    for seed in range(300):
        drawn[sample_without_replacement(scores, 1, 1.0, torch.Generator().manual_seed(seed)).indices] += 1
    assert drawn[~foreground].sum() == 0
    torch.testing.assert_close(drawn[foreground] / 300, torch.full((3,), 1 / 3), atol=0.08, rtol=0)


def test_without_class_weights_the_coarse_answer_does_not_count_inside_patches():
    model = built()
    terms = cost(model, class_weights="one", sampled_patches=0)
    sum(terms.values()).backward()
    torch.testing.assert_close(terms["high"], terms["patch"])
    assert model.theta.grad is None


def test_both_gradients_of_the_scores_give_the_same_losses():
    exact, lean = cost(built()), cost(built(), gradient="chosen")
    for name in exact:
        torch.testing.assert_close(exact[name], lean[name])


def test_the_high_resolution_term_is_that_of_the_whole_mixed_answer_where_it_was_read():
    """Equation 6 with whole-volume buffers, as inference has it, against the recipe's boxes."""
    shape = (32, 32, 32)
    boxes = [PatchBox(start, tuple(a + 16 for a in start)) for start in ((0, 0, 0), (8, 3, 0), (4, 8, 8), (16, 16, 16))]
    patches = [torch.randn(3, *PATCH, requires_grad=True) for _ in boxes]
    coarse = torch.randn(3, 16, 16, 16)
    trust = torch.tensor([0.2, 0.5, 0.9])
    sample = drawn_sample()
    loss = SampleLoss(sample.annotated)
    answers = [merged(enlarge(coarse, shape, box), own, trust) for box, own in zip(boxes, blended(patches, boxes))]
    targets = once([sample.target[box.slices()] for box in boxes], boxes)
    ours = loss.together([answer[None] for answer in answers], targets)

    total, weight = torch.zeros(3, *shape), torch.zeros(shape)
    window = gaussian_window(PATCH)
    for patch, box in zip(patches, boxes):
        padding = [width for a, b in zip(reversed(box.start), reversed(box.stop)) for width in (a, 32 - b)]
        total = total + torch.nn.functional.pad(patch * window, padding)
        weight = weight + torch.nn.functional.pad(window, padding)
    mean = total / (weight + 1e-20)
    answer = merged(enlarge(coarse, shape, PatchBox((0, 0, 0), shape)), mean, trust)
    target = torch.where(weight > 0, sample.target, IGNORE)
    theirs = loss(answer[None], target)
    torch.testing.assert_close(ours, theirs)
    for mine, expected in zip(torch.autograd.grad(ours, patches), torch.autograd.grad(theirs, patches), strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("options", [{"draw": "uniform"}, {"class_weights": "one"}])
def test_parts_left_out_of_a_training_do_not_stop_it(options, tiny_json, data_folder, tmp_path):
    own = {"sampled_patches": 1, **options}
    training = {**tiny_json, "recipe": {"name": "nmsw", "options": own}, "iterations": 2}
    assert train(read_options(TrainConfig, training), data_folder, tmp_path).is_dir()


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


def test_zoom_out_trains_both_networks_but_neither_scores_nor_class_weights():
    model = built()
    terms = cost(model, "zoom_out")
    sum(terms.values()).backward()
    assert set(terms) == {"low", "patch"}
    for part in (model.global_network, model.local_network):
        assert any(parameter.grad.abs().max() > 0 for parameter in part.parameters())
    assert model.theta.grad is None
    assert all(parameter.grad is None for parameter in model.score_head.parameters())


def test_zoom_out_shows_the_local_network_a_whole_label():
    model, read = built(), []
    model.local_network.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    sample = drawn_sample()
    sample.image[:] = (sample.target == 2) + 0.5 * (sample.target == 1)
    options = recipe("zoom_out").Options(patches=1, jitter=0.0)
    seen = set()
    for seed in range(8):
        recipe("zoom_out").losses(model, sample, options, 0.0, torch.Generator().manual_seed(seed))
        seen.add(tuple(round(value, 1) for value in sorted({float(read[-1].max()), float(read[-1].mean())})))
        assert read[-1].shape == (1, 1, *PATCH)
    # Label 1 (10 voxels) lies in 16 voxels, label 2 (8 x 12 x 14) in 16: unshrunken, and whole.
    volumes = {round(float(0.5 * 1000 / 16**3), 1), round(8 * 12 * 14 / 16**3, 1)}
    assert {mean for mean, _ in seen} == volumes


def test_a_zoomed_box_keeps_the_place_of_every_part():
    sample = drawn_sample()
    sample.image[0] = (sample.target > 0).float()
    patch, truth = zoomed(sample, PatchBox((0, 0, 0), (32, 32, 32)), PATCH)
    assert torch.equal(patch[0] > 0.5, truth > 0)
    assert (truth == 1).sum() == 5**3


def test_jittered_boxes_are_at_least_a_patch_inside_the_volume_and_stay_near():
    box = PatchBox((2, 20, 10), (30, 23, 26))
    starts = set()
    for seed in range(200):
        moved = jittered(box, PATCH, 0.2, (32, 32, 32), torch.Generator().manual_seed(seed))
        starts.add(moved.start)
        for axis in range(3):
            assert moved.start[axis] >= 0 and moved.stop[axis] <= 32 and moved.shape[axis] >= 16
        assert moved.start[0] <= 2 + 6 and moved.stop[0] >= 30 - 6
        assert moved.start[1] <= 21 < moved.stop[1]
    assert len(starts) > 50
    assert jittered(box, PATCH, 0.0, (32, 32, 32), torch.Generator()) == enlarged(box, PATCH, (32, 32, 32))


def test_zoom_out_reads_somewhere_where_no_label_is():
    sample = drawn_sample()
    sample.target[:] = 0
    assert torch.isfinite(sum(cost(built(), "zoom_out", sample=sample).values()))


@pytest.mark.parametrize("options, why", [({"patches": 0}, "0 patches"), ({"jitter": 0.5}, "jitter is 0.5")])
def test_zoom_out_refuses_what_it_cannot_draw(options, why):
    with pytest.raises(OptionError, match=why):
        recipe("zoom_out").Options(**options)


def test_the_box_of_a_label_is_tight_and_labels_there_are_listed():
    target = drawn_sample().target
    target[31, 31, 31] = IGNORE
    assert label_box(target, 2) == PatchBox((20, 18, 16), (28, 30, 30))
    assert present_labels(target).tolist() == [1, 2]


@pytest.mark.parametrize(
    "name, options, patch",
    [
        ("unet", {}, (16, 16, 8)),
        ("mednext", {"channels": 4, "expansion": [2, 2, 2, 2, 2], "blocks": [1, 1, 1, 1, 1]}, (32, 16, 32)),
        ("swin_unetr", {"feature_size": 12, "depths": [1, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 3}, (64, 32, 32)),
    ],
)
def test_every_kind_of_patch_model_learns_from_patches_of_its_sizes(name, options, patch):
    torch.manual_seed(0)
    model = networks.build(name, options if options else UNET, 1, 3).train()
    sample = drawn_sample()
    double = Sample(sample.image.repeat(1, 2, 1, 1), sample.target.repeat(2, 1, 1), sample.annotated, "drawn twice")
    cost(model, "patch", sample=double, patch_size=patch, patches=1)["patch"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)
    assert sum(parameter.grad is not None for parameter in model.parameters()) > 0.9 * len(list(model.parameters()))


@pytest.mark.parametrize(
    "patch, why",
    [((16, 18, 16), r"multiples of \(4, 4, 4\).*Use \(16, 20, 16\)"), ((16, 36, 16), "drawn has .*smaller")],
)
def test_a_patch_that_does_not_fit_is_refused_in_words(patch, why):
    with pytest.raises(OptionError, match=why):
        cost(built("unet"), "patch", patch_size=patch)


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
    target = torch.zeros(32, 32, 32, dtype=torch.uint8)
    empty = Sample(torch.zeros(1, 32, 32, 32), target, torch.ones(3, dtype=torch.bool), "case 7")
    with pytest.raises(TrainingError, match="case 7 is empty"):
        random_box_with_contrast(empty, PATCH, 0.5, torch.Generator())


def test_voxels_are_counted_in_boxes_of_any_size():
    mask = torch.rand(7, 9, 8, generator=torch.Generator().manual_seed(2)) < 0.4
    boxes = [PatchBox((0, 0, 0), (7, 9, 8)), PatchBox((2, 3, 1), (3, 4, 2)), PatchBox((1, 0, 4), (6, 9, 8))]
    assert counts_in(mask, boxes).tolist() == [float(mask[box.slices()].sum()) for box in boxes]


def test_errors_of_the_coarse_pass_are_counted_in_the_patches_that_hold_them():
    grid = patch_grid((32, 32, 32), PATCH, 0.5)
    truth = torch.zeros(16, 16, 16, dtype=torch.uint8)
    logits = torch.zeros(1, 3, 16, 16, 16)
    logits[:, 0] = 1.0
    truth[0:2, 0:2, 0:3] = 1  # missed: 12 cells in the first corner
    truth[15, 15, 15] = IGNORE  # nobody knows
    logits[0, 2, 12, 12, 12] = 9.0  # wrongly found
    errors = coarse_errors(logits, truth, grid, (2, 2, 2))
    assert errors[0] == 12 and errors[-1] == 1
    assert errors.sum() == 13


def test_taught_scores_come_nearer_to_the_errors_and_without_teaching_there_is_no_such_term():
    model = built()
    with torch.no_grad():
        model.global_network.decoder[-1][-1].bias[0] += 20  # finds nothing: all labels are errors, the rest is not
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    terms = []
    for _ in range(30):
        terms.append(cost(model, sampled_patches=0, teaching=1.0)["teaching"])
        optimiser.zero_grad()
        terms[-1].backward()
        optimiser.step()
    assert float(terms[-1].detach()) < 0.95 * float(terms[0].detach())
    assert "teaching" not in cost(model) and "teaching" not in cost(model, draw="uniform", teaching=1.0)
