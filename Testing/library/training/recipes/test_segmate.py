"""The recipe of SegMate: which terms there are, what they weigh, and that a network of slices learns by them."""

import numpy as np
import pytest
import torch

import phantoms
from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.metrics import dice
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.training import recipe, recipe_options, slice_losses
from EfficientSegLib.training.config import Component, TrainConfig, check
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.recipes.segmate import Options
from EfficientSegLib.training.samples import SliceBatch
from EfficientSegLib.volume import Volume, read

CHANNELS = {1: 1, 2: 2, 7: 3}
SMALL = {"encoder": "light", "width": 0.25}
PAPER = {"dice": 1.0, "focal": 1.0, "ce": 1.0, "boundary": 0.1, "presence": 0.2, "deep": 0.2}
ALONE = Place(0, 1)


def batch(count=2, size=64):
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(count, size, size, dtype=torch.uint8)
    target[:, 8:30, 8:30], target[0, 40:60, 10:50] = 1, 3
    image = target[:, None].float().expand(-1, 3, -1, -1) + 0.1 * torch.randn(count, 3, size, size, generator=generator)
    return SliceBatch(image, target, torch.linspace(0, 1, count), torch.ones(count, 4, dtype=torch.bool), "drawn")


def built(name="segmate", **options):
    torch.manual_seed(0)
    given = {**SMALL, **options} if name == "segmate" else {"encoder": "light"}
    return networks.build(name, given, 1, 3).train()


def cost(model, sample=None, **options):
    fitted = recipe_options(Component("segmate", options), CHANNELS)
    return recipe("segmate").losses(model, sample or batch(), fitted, 0.5, torch.Generator())


def test_the_gradient_reaches_every_parameter():
    model = built(deep_supervision=True)
    sum(cost(model).values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    for name, part in model.named_children():
        assert any(bool(parameter.grad.any()) for parameter in part.parameters()), name


def test_terms_have_the_weights_of_the_paper():
    model = built(deep_supervision=True).eval()
    terms, plain = cost(model), cost(model, **{("cross_entropy" if k == "ce" else k): 1.0 for k in PAPER})
    assert terms.keys() == PAPER.keys()
    for name, weight in PAPER.items():
        torch.testing.assert_close(terms[name], weight * plain[name])
    heads = model.heads(batch().image, batch().position)
    truth = slice_losses.Truth.of(batch().target, batch().annotated)
    levels = [
        slice_losses.soft_dice(level.sigmoid(), truth.masks, truth.known)
        + slice_losses.cross_entropy(level, truth, torch.ones(3))
        for level in heads.deep
    ]
    torch.testing.assert_close(plain["deep"], sum(levels) / len(levels), rtol=1e-4, atol=1e-5)


def test_heads_that_are_not_there_give_no_term():
    assert cost(built()).keys() == PAPER.keys() - {"deep"}
    one_slice = batch()
    one_slice = SliceBatch(one_slice.image[:, 1:2], one_slice.target, one_slice.position, one_slice.annotated, "")
    assert cost(built("segmate_vanilla"), one_slice).keys() == {"dice", "focal", "ce"}


def test_class_weights_belong_to_label_values():
    fitted = recipe_options(Component("segmate", {"class_weights": {"7": 6, "1": 0.5}}), CHANNELS)
    assert fitted.weights == (0.5, 1.0, 6.0)
    model = built().eval()
    heavier, plain = (cost(model, class_weights=weights)["focal"].detach() for weights in ({"7": 6.0}, {}))
    assert float(heavier) > float(plain)
    with pytest.raises(OptionError, match="class_weights names label 3.*1, 2, 7"):
        recipe_options(Component("segmate", {"class_weights": {"3": 2}}), CHANNELS)


def test_a_new_network_begins_with_few_labels_and_one_that_goes_on_stays_as_it_is(slices_json, data_folder, tmp_path):
    run = Run(config(slices_json), data_folder, ALONE)
    still = run.source.still(0)
    with torch.no_grad():
        mask, *_, deep = run.model.eval().heads(still.image, still.position)
    for logits in (mask, *deep):
        assert float(logits.sigmoid().mean()) == pytest.approx(0.02, abs=0.02)
    plain = Run(config(slices_json, recipe={"name": "segmate", "options": {"prior": None}}), data_folder, ALONE)
    assert float(plain.model.mask_head.bias.detach().abs().max()) < 0.5
    folder = train(config(slices_json, iterations=1, learning_rate=0.5), data_folder, tmp_path)
    trained = bundles.load(folder)
    start = {"bundle": str(folder), "sha256": trained.weights.sha256}
    going_on = Run(config(slices_json, start=start), data_folder, ALONE)
    torch.testing.assert_close(going_on.model.mask_head.bias, load_model(trained, "cpu").mask_head.bias)


@pytest.mark.parametrize(
    "wrong", [{"prior": 0.0}, {"boundary": -0.1}, {"focal_gamma": -1.0}, {"class_weights": {"1": 0}}]
)
def test_weights_below_nothing_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        read_options(Options, wrong)


def test_in_bf16_the_losses_are_calculated_in_float32():
    with torch.autocast("cpu", torch.bfloat16):
        terms = cost(built(deep_supervision=True))
    assert {term.dtype for term in terms.values()} == {torch.float32}


def config(slices_json, **changes):
    found = read_options(TrainConfig, {**slices_json, **changes})
    check(found)
    return found


def test_what_is_for_volumes_and_what_is_for_slices_do_not_mix(slices_json, data_folder):
    with pytest.raises(OptionError, match="'patch' was given samples 'slices'"):
        config(slices_json, recipe={"name": "patch"})
    with pytest.raises(OptionError, match="'segmate' was given samples 'volume'"):
        config(slices_json, samples={"name": "volume"})
    slices_json["bundle"]["outputs"] = "exclusive"
    with pytest.raises(OptionError, match="4 outputs for 3 labels.*independent"):
        Run(config(slices_json), data_folder, ALONE)
    slices_json["bundle"]["network"] = {"name": "unet"}
    with pytest.raises(OptionError, match="'segmate' was given the network 'unet'"):
        Run(config(slices_json), data_folder, ALONE)


def test_it_learns_a_phantom_within_seconds_and_the_bundle_segments_it(slices_json, tmp_path):
    spacing = (4.0, 4.0, 8.0)
    hu, labels = phantoms.torso((80, 64, 28), 0, spacing)
    phantoms.write_case(tmp_path / "torso_0", hu, labels, spacing)
    slices_json["bundle"]["preprocess"]["spacing_mm"] = list(spacing)
    still = dict.fromkeys(("affine", "elastic", "mirror", "flip", "smooth", "gamma", "inverted_gamma", "coarse"), 0.0)
    changes = {
        "cases": slices_json["cases"][:1],
        "samples": {"name": "slices", "options": {**still, "volumes": 1, "slices_per_volume": 8, "foreground": 1.0}},
        "iterations": 130,
        "learning_rate": 1e-2,
        "largest": [96, 64, 28],
        "precision": "fp32",
    }
    folder = train(config(slices_json, **changes), tmp_path, tmp_path / "run")
    bundle = bundles.load(folder)
    assert bundle.outputs == "independent" and bundle.preprocess.native_slices
    image: Volume = read(tmp_path / "torso_0" / "image.nii.gz")
    found = segment(image, bundle, load_model(bundle, "cpu")).labels
    truth = read(tmp_path / "torso_0" / "label.nii.gz").array[0]
    truth = np.select([truth == 1, truth == 2, truth == 3], [1, 2, 7])
    scores = {value: round(float(dice(found == value, truth == value)), 3) for value in CHANNELS}
    assert min(scores.values()) > 0.9, scores
