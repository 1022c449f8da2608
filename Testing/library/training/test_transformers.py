"""STP + MTA + UNETR and Swin SMT: their papers' trainings as configurations, repeatable and in parts, to a bundle."""

import copy
import json

import pytest
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib import volume
from EfficientSegLib.__main__ import main
from EfficientSegLib.errors import EfficientSegError, OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import load_model
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
PATCH = {"stp_unetr": [16, 16, 16], "swin_smt": [64, 32, 32]}
SMALL = {
    "stp_unetr": {
        "patch_size": PATCH["stp_unetr"],
        "prune_ratio": 0.4,
        "decoder": "v1",
        "width": 12,
        "heads": 2,
        "depth": 4,
        "prune_after": [1, 2],
        "feature_size": 2,
        "drop_path": 0.2,
    },
    "swin_smt": {"feature_size": 12, "heads": [1, 2, 4, 4], "experts": 2},
}
# The presets of the papers, but for the sizes: what they train with, all of it.
STILL = dict.fromkeys(
    ("translation", "affine", "distortion", "noise", "smooth", "coarse", "gamma", "inverted_gamma"), 0
)
PAPERS = {
    "stp_unetr": {
        "recipe": {"name": "patch", "options": {"patches": 2, "dice_weight": 1, "ce_weight": 1, "squared": True}},
        "samples": {
            "name": "volume",
            "options": {**STILL, "mirror": 0.2, "flip_front": 0.2, "flip_top": 0.2, "quarter_turn": 0.2}
            | {"gain": 0.1, "gain_limit": 0.1, "shift": 0.1, "shift_limit": 0.1},
        },
        "learning_rate": 1.34e-4,
        "layer_decay": 0.75,
        "betas": [0.9, 0.95],
        "weight_decay": 0.05,
        "decayed": "weights",
        "warm_up": 0.01,
    },
    "swin_smt": {
        "recipe": {"name": "patch", "options": {"patches": 1, "dice_weight": 1, "ce_weight": 1}},
        "samples": {
            "name": "volume",
            "options": {**STILL, "zoom": 0.3, "quarter_turn": 0.1, "gain": 0, "shift": 0.2, "shift_limit": 0.1},
        },
        "learning_rate": 1e-4,
        "weight_decay": 1e-5,
        "warm_up": 0.05,
    },
}
ALONE = Place(0, 1)


def of_paper(tiny_json, name: str, network: dict | None = None, **changes) -> dict:
    """A paper's training of a small network as a JSON object."""
    content = copy.deepcopy({**tiny_json, **PAPERS[name]})
    content["recipe"]["options"]["patch_size"] = PATCH[name]
    content["bundle"]["network"] = {"name": name, "options": {**SMALL[name], **(network or {})}}
    content["bundle"]["strategy"] = {"name": "sliding_window", "options": {"patch_size": PATCH[name], "overlap": 0.25}}
    content["largest"] = [64, 32, 32]
    return {**content, "iterations": 2, **changes}


def in_nmsw(tiny_json, name: str, network: dict | None = None, **changes) -> dict:
    """A training of NMSW that reads its patches with a small network."""
    content = copy.deepcopy(tiny_json)
    local = {"local_backbone": name, "local_options": {**SMALL[name], **(network or {})}, "patch_size": PATCH[name]}
    content["bundle"]["network"]["options"] = {"global_options": UNET, "downsampling": [2, 2, 2], **local}
    content["recipe"] = {"name": "nmsw", "options": {"sampled_patches": 1, "random_patches": 1}}
    longer = [96, 32, 32]  # of a single candidate, the scores would have nothing to choose
    return {**content, "samples": {"name": "volume"}, "smallest": longer, "largest": longer, "iterations": 2, **changes}


def read(content: dict) -> TrainConfig:
    return read_options(TrainConfig, json.loads(json.dumps(content)))


def weights_of(folder) -> dict:
    return torch.load(folder / checkpoint.FILE, weights_only=True)["model"]


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_training_becomes_a_bundle_that_loads_segments_and_is_evaluated(
    name, tiny_json, data_folder, tmp_path
):
    file, run, found = tmp_path / "training.json", tmp_path / "run", tmp_path / "found.nii.gz"
    file.write_text(json.dumps(of_paper(tiny_json, name, iterations=1)))
    assert main(["train", str(file), "--data", str(data_folder), "--output", str(run), "--device", "cpu"]) == 0
    bundle = bundles.load(run / "bundle")
    trained = weights_of(run)
    for key, tensor in load_model(bundle, "cpu").state_dict().items():
        torch.testing.assert_close(tensor, trained[key].half().to(tensor.dtype), atol=1e-6, rtol=2e-3)
    image = data_folder / "torso_0" / "image.nii.gz"
    assert main(["segment", str(image), "--bundle", str(run / "bundle"), "-o", str(found), "--device", "cpu"]) == 0
    assert volume.read(found).shape == volume.read(image).shape
    cases = tmp_path / "cases.json"
    case = {"image": "torso_0/image.nii.gz", "label": "torso_0/label.nii.gz", "map": {"1": 1, "2": 2, "3": 7}}
    cases.write_text(json.dumps([{**case, "name": "torso_0"}]))
    scored = ["evaluate", "--bundle", str(run / "bundle"), "--cases", str(cases), "--data", str(data_folder)]
    assert main([*scored, "--output", str(tmp_path / "scores"), "--device", "cpu"]) == 0
    assert any((tmp_path / "scores").iterdir())


@pytest.mark.parametrize(
    "name, network, precision",
    [
        ("stp_unetr", {}, "fp32"),
        ("stp_unetr", {"selection": "dynamic_vit"}, "fp32"),
        ("stp_unetr", {}, "bf16"),
        ("swin_smt", {}, "fp32"),
    ],
)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    name, network, precision, tiny_json, data_folder, tmp_path, monkeypatch
):
    """Noise of the token choice and drop path come from torch's own generator, which every iteration seeds."""
    content = of_paper(tiny_json, name, network, precision=precision, checkpoint_minutes=0.0)
    train(read(content), data_folder, tmp_path / "whole")
    torch.manual_seed(12345)
    plain_step = Run.step

    def stop_at_one(run):
        if run.course.step == 1:
            raise KeyboardInterrupt
        return plain_step(run)

    monkeypatch.setattr(Run, "step", stop_at_one)
    with pytest.raises(KeyboardInterrupt):
        train(read(content), data_folder, tmp_path / "parts")
    monkeypatch.setattr(Run, "step", plain_step)
    torch.rand(7)
    train(read(content), data_folder, tmp_path / "parts")
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))


def test_two_processes_draw_different_noise_and_repeat_bit_for_bit(tiny_json, data_folder, tmp_path):
    content = of_paper(tiny_json, "stp_unetr", processes=2)
    for folder in ("first", "second"):
        train(read(content), data_folder, tmp_path / folder)
    assert same(weights_of(tmp_path / "first"), weights_of(tmp_path / "second"))
    draws = []
    for rank in (0, 1):
        run = Run(read(content), data_folder, Place(rank, 1))
        run._draw()
        draws.append(torch.rand(3))
    assert not torch.equal(*draws)


def test_noise_and_drop_path_are_what_the_seed_says(tiny_json, data_folder):
    def after_one_step(**network):
        run = Run(read(of_paper(tiny_json, "stp_unetr", {"drop_path": 0.0, **network})), data_folder, ALONE)
        run.step()
        return run.model.state_dict()

    noisy = after_one_step()
    assert same(noisy, after_one_step())
    assert not same(noisy, after_one_step(noise=False))
    assert not same(noisy, after_one_step(drop_path=0.5))


@pytest.mark.parametrize("made", [of_paper, in_nmsw])
def test_what_a_choice_of_tokens_adds_to_the_loss_is_a_term_of_its_own_and_teaches_the_choice(
    made, tiny_json, data_folder
):
    run = Run(read(made(tiny_json, "stp_unetr", {"selection": "dynamic_vit"})), data_folder, ALONE)
    terms = run.objective(*_first(run))
    assert terms["selection"] > 0
    terms["selection"].backward()
    gradients = {name: p.grad for name, p in run.model.named_parameters() if ".prunings." in name}
    assert gradients and any(g is not None and g.abs().max() > 0 for g in gradients.values())
    network = getattr(run.model, "local_network", run.model)
    assert network.auxiliary_loss() is None  # asked for once, forgotten
    plain = Run(read(made(tiny_json, "stp_unetr")), data_folder, ALONE)
    assert "selection" not in plain.objective(*_first(plain))


def _first(run: Run) -> tuple:
    sample, generator = run._draw()
    return sample, 0.5, generator


@pytest.mark.parametrize("name", PAPERS)
def test_in_nmsw_the_gradient_reaches_both_networks_and_the_scores_of_each(name, tiny_json, data_folder):
    run = Run(read(in_nmsw(tiny_json, name)), data_folder, ALONE)
    terms = run.objective(*_first(run))
    (terms["patch"] + terms["high"]).backward()
    model = run.model
    parts = {"patch scores": model.score_head, "local network": model.local_network}
    if name == "stp_unetr":
        heads = model.local_network.encoder.prunings
        assert len(heads) == 2
        parts |= {f"token scores {number}": head for number, head in enumerate(heads)}
    for what, part in parts.items():
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters()), what
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    run.step()
    assert not same(before, model.state_dict())


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("stp_unetr", {"recipe": {"name": "patch", "options": {"patch_size": [32, 32, 32]}}}, "recipe: .*16, 16, 16"),
        ("swin_smt", {"recipe": {"name": "patch", "options": {"patch_size": [48, 32, 32]}}}, "recipe: .*32, 32, 32"),
        ("swin_smt", {"recipe": {"name": "patch", "options": {"patch_size": [32, 32, 32]}}}, "recipe: .*64"),
        ("stp_unetr", {"recipe": {"name": "nmsw"}}, "'nmsw' was given the network 'stp_unetr'.*'patch'"),
        ("swin_smt", {"layer_decay": 0.75}, "'swin_smt' does not tell the order of its layers"),
        ("stp_unetr", {"largest": [8, 32, 32]}, "largest is .*need .16, 16, 16"),
    ],
)
def test_mistakes_are_told_in_words_before_any_case_is_read(name, change, words, tiny_json, tmp_path):
    content = of_paper(tiny_json, name, **change)
    with pytest.raises(EfficientSegError, match=words):
        Run(read(content), tmp_path / "no data here", ALONE)


@pytest.mark.parametrize(
    "strategy, words",
    [
        ({"name": "sliding_window", "options": {"patch_size": [32, 32, 32]}}, "bundle.strategy: .*16, 16, 16"),
        ({"name": "nmsw", "options": {}}, "bundle.strategy: "),
    ],
)
def test_a_strategy_that_could_not_read_with_the_trained_network_is_refused_before(
    strategy, words, tiny_json, tmp_path
):
    content = of_paper(tiny_json, "stp_unetr")
    content["bundle"]["strategy"] = strategy
    with pytest.raises(OptionError, match=words):
        Run(read(content), tmp_path / "no data here", ALONE)


@pytest.mark.parametrize(
    "options, words", [({"prune_ratio": 1.0}, "prune_ratio is 1.0"), ({"patch_size": [20, 16, 16]}, "patch_size is")]
)
def test_wrong_options_of_the_network_are_refused_in_words(options, words, tiny_json, tmp_path):
    with pytest.raises(OptionError, match=words):
        Run(read(of_paper(tiny_json, "stp_unetr", options)), tmp_path / "no data here", ALONE)


@pytest.mark.parametrize("name", PAPERS)
def test_gradients_in_bf16_point_where_those_in_float32_do(name, tiny_json, data_folder):
    quiet = {"noise": False, "drop_path": 0.0} if name == "stp_unetr" else {}
    gradients = []
    for precision in ("fp32", "bf16"):
        run = Run(read(of_paper(tiny_json, name, quiet, precision=precision)), data_folder, ALONE)
        with run.precision.autocast():
            terms = run.objective(*_first(run))
        sum(terms.values()).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in run.model.parameters() if p.grad is not None]))
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98
    assert float(gradients[1].norm() / gradients[0].norm()) == pytest.approx(1, abs=0.1)
