"""Parts that wait stay as they are to the last bit, their statistics too; processes agree on statistics."""

import pytest
import torch
from torch import nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.training import frozen as freezing
from EfficientSegLib.training import processes
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.frozen import Freezer, Frozen, agree_on_statistics, train_mode
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)) for _ in range(2)),
        nn.BatchNorm2d(2, affine=False),
        nn.BatchNorm2d(2, affine=False, track_running_stats=False),
    )


def test_a_frozen_encoder_is_unchanged_until_its_time_and_learns_afterwards(slices_json, data_folder):
    slices_json["bundle"]["network"]["options"] = {"encoder": "light", "width": 0.1}
    given = {**slices_json, "iterations": 4, "frozen": [{"part": "encoder", "share": 0.5}], "weight_decay": 0.1}
    run = Run(read_options(TrainConfig, given), data_folder, Place(0, 1))
    states = [{name: tensor.clone() for name, tensor in run.model.state_dict().items()}]
    for _ in range(3):
        run.step()
        states.append({name: tensor.clone() for name, tensor in run.model.state_dict().items()})
    encoder = [name for name in states[0] if name.startswith("encoder.")]
    assert any("running_var" in name for name in encoder)
    assert all(torch.equal(states[0][name], states[2][name]) for name in encoder)
    assert not any(
        torch.equal(states[2][name], states[3][name]) for name in encoder if states[2][name].is_floating_point()
    )
    assert not torch.equal(states[0]["mask_head.weight"], states[1]["mask_head.weight"])
    decoder = [name for name in states[0] if name.startswith("decoder.") and name.endswith("running_mean")]
    assert decoder and not any(torch.equal(states[0][name], states[1][name]) for name in decoder)


def test_a_part_is_frozen_for_its_share_of_the_training():
    model = net()
    freezer = Freezer(model, [Frozen("0", 0.25), Frozen("0.1", 0.5)])
    trained = []
    for progress in (0.0, 0.25, 0.5):
        freezer.update(progress)
        trained.append([name for name, parameter in model.named_parameters() if parameter.requires_grad])
    inner, norm = ["0.0.weight", "0.0.bias"], ["0.1.weight", "0.1.bias"]
    others = ["1.0.weight", "1.0.bias", "1.1.weight", "1.1.bias"]
    assert trained == [others, [*inner, *others], [*inner, *norm, *others]]
    assert not freezer.update(0.6) and freezer.update(0.3)


def test_norms_that_are_not_trained_keep_their_statistics_and_all_others_do_not():
    model = net().eval()
    Freezer(model, [Frozen("0", 1.0)]).update(0.0)
    train_mode(model)
    assert [module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d)] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "given, words",
    [
        ([Frozen("nothing")], "frozen names 'nothing'.*name of a module: 0, 1"),
        ([Frozen("0"), Frozen("1", 0.1)], "Nothing would be trained"),
    ],
)
def test_parts_that_are_not_there_and_all_parts_are_refused(given, words):
    with pytest.raises(OptionError, match=words):
        Freezer(net(), given)
    with pytest.raises(OptionError, match="share of 'a' is 0"):
        Frozen("a", 0.0)


def test_running_statistics_become_the_mean_over_the_processes(monkeypatch):
    model, other = train_mode(net()), train_mode(net())
    Freezer(model, [Frozen("0", 1.0)]).update(0.0)
    train_mode(model)
    for part, seed in ((model, 1), (other, 2)):
        torch.manual_seed(seed)
        part[1][1](torch.randn(4, 2, 3, 3))
    theirs = [buffer for norm in (other[1][1], other[2]) for buffer in (norm.running_mean, norm.running_var)]
    monkeypatch.setattr(processes, "average", lambda own, place: [(a + b) / 2 for a, b in zip(own, theirs)])
    frozen_before, own = model[0][1].running_mean.clone(), model[1][1].running_mean.clone()
    agree_on_statistics(model, Place(0, 2))
    torch.testing.assert_close(model[1][1].running_mean, (own + other[1][1].running_mean) / 2)
    assert torch.equal(model[0][1].running_mean, frozen_before)
    assert freezing.processes is processes
