"""What the optimiser treats alike: rates by layer, decay of weights alone, and nothing new for older trainings."""

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.learning_rate import LearningRate
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.parameters import groups
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.schedule import Course

STP = {"patch_size": [16, 16, 16], "prune_ratio": 0.4, "width": 12, "heads": 2, "depth": 4, "prune_after": [1, 2]}
STP |= {"feature_size": 2, "decoder": "v1"}
SWIN = {"feature_size": 12, "heads": [1, 2, 4, 4], "experts": 2}
UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
DEPTH, RATE = 4, 1e-3


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, "learning_rate": RATE, **changes})


def by_name(model, found) -> dict[str, dict]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: group for group in found for parameter in group["params"]}


def test_the_rate_falls_by_the_same_factor_with_every_layer_below_the_last(tiny_json):
    model = networks.build("stp_unetr", STP, 1, 3)
    told = by_name(model, groups(model, config(tiny_json, layer_decay=0.5)))
    assert told.keys() == dict(model.named_parameters()).keys()
    for number in range(DEPTH):
        assert told[f"encoder.blocks.{number}.mlp.0.weight"]["lr"] == pytest.approx(RATE * 0.5 ** (DEPTH - number))
    assert told["encoder.embedding.positions"]["share"] == told["encoder.embedding.projection.bias"]["share"] == 0.5**5
    whole = [name for name, group in told.items() if group["share"] == 1]
    assert all(not name.startswith(("encoder.blocks", "encoder.embedding")) for name in whole)
    assert {name.split(".")[0] for name in whole} == {"encoder", "completion", "decoder"}
    assert any(name.startswith("encoder.prunings") for name in whole)


def test_inside_nmsw_the_layers_are_those_of_the_local_network_and_the_rest_has_the_whole_rate(tiny_json):
    options = {"global_options": UNET, "local_backbone": "stp_unetr", "local_options": STP}
    model = networks.build("nmsw", {**options, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}, 1, 3)
    told = by_name(model, groups(model, config(tiny_json, layer_decay=0.5)))
    assert told["local_network.encoder.blocks.0.norm1.weight"]["share"] == 0.5**DEPTH
    assert told["theta"]["share"] == told["score_head.0.weight"]["share"] == 1


@pytest.mark.parametrize("name, options", [("stp_unetr", STP), ("swin_smt", SWIN)])
def test_norms_biases_positions_and_tokens_do_not_decay_and_weights_do(name, options, tiny_json):
    model = networks.build(name, options, 1, 3)
    told = by_name(model, groups(model, config(tiny_json, weight_decay=0.05, decayed="weights")))
    assert told.keys() == dict(model.named_parameters()).keys()
    decaying = {name for name, group in told.items() if group["weight_decay"] == 0.05}
    layers = (torch.nn.Linear, torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    weights = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, layers)}
    assert decaying == weights
    assert all(group["weight_decay"] == 0 for name, group in told.items() if name not in weights)


def test_one_step_moves_each_layer_by_its_share(tiny_json, data_folder):
    """The first step of Adam is its learning rate, whatever the gradient; without decay and warm-up nothing else."""
    tiny_json["bundle"]["network"] = {"name": "stp_unetr", "options": STP}
    tiny_json["bundle"]["strategy"] = {"name": "sliding_window"}
    recipe = {"name": "patch", "options": {"patch_size": [16, 16, 16], "patches": 1}}
    changes = {"layer_decay": 0.5, "weight_decay": 0.0, "warm_up": 0.0, "recipe": recipe, "betas": [0.5, 0.9]}
    run = Run(config(tiny_json, **changes), data_folder, Place(0, 1))
    before = {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}
    run.step()
    assert run.rate == RATE
    for name, share in (("decoder", 1.0), ("encoder.blocks.3.mlp", 0.5), ("encoder.blocks.1.attention", 0.125)):
        moved = [(p - before[n]).abs().max() for n, p in run.model.named_parameters() if n.startswith(name)]
        assert float(max(moved).detach()) == pytest.approx(RATE * share, rel=1e-3)


@pytest.mark.parametrize("schedule", ["cosine", "plateau", "warm_restarts"])
def test_every_schedule_keeps_the_shares(schedule, tiny_json):
    options = {"patience": 0} if schedule == "plateau" else {"lowest": 0.0} if schedule == "warm_restarts" else {}
    given = config(tiny_json, iterations=10)
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    members = [{"params": [p], "lr": RATE * share, "share": share} for p, share in zip(parameters, (1.0, 0.25))]
    optimiser = torch.optim.AdamW(members, RATE)
    rate = LearningRate(optimiser, read_options(type(given.schedule), {"name": schedule, "options": options}))
    for step in range(10):
        highest = rate.before_step(Course(given, step))
        first, second = (group["lr"] for group in optimiser.param_groups)
        assert first == highest > 0 and second == pytest.approx(0.25 * highest)
        rate.after_validation(1.0)


def test_older_trainings_keep_fingerprint_and_checkpoints(tiny_json, data_folder):
    usual = config(tiny_json)
    same = config(tiny_json, layer_decay=1.0, betas=[0.9, 0.999], decayed="all")
    assert same.fingerprint == usual.fingerprint
    for change in ({"layer_decay": 0.75}, {"betas": [0.9, 0.95]}, {"decayed": "weights"}):
        assert config(tiny_json, **change).fingerprint != usual.fingerprint
    group = Run(usual, data_folder, Place(0, 1)).optimiser.state_dict()["param_groups"]
    assert len(group) == 1 and "share" not in group[0]


def test_a_network_without_an_order_of_layers_is_told_from_one_with_it(tiny_json, data_folder):
    with pytest.raises(OptionError, match="layer_decay is 0.75.*'nmsw' does not tell the order of its layers"):
        Run(config(tiny_json, layer_decay=0.75), data_folder / "absent", Place(0, 1))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"layer_decay": 0}, "layer_decay is 0.0.*Use 0.75"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5"),
        ({"betas": [0.9, 1.0]}, r"betas is \(0.9, 1.0\)"),
        ({"weight_decay": -1}, "weight_decay -1.0"),
        ({"decayed": "norms"}, "decayed.*'all', 'weights'"),
    ],
)
def test_wrong_values_are_refused_in_words(change, words, tiny_json):
    with pytest.raises(OptionError, match=words):
        config(tiny_json, **change)
