"""A training that goes on from a bundle: what is trained changes, the rest stays, and it knows what it began with."""

import pytest
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture
def going_on(tiny_json, data_folder, first):
    """Makes a training that starts from a bundle of the same network."""
    if not (first / "bundle").is_dir():
        train(read_options(TrainConfig, {**tiny_json, "iterations": 1}), data_folder, first)

    def make(**start):
        bundle = bundles.load(first / "bundle")
        given = {"bundle": bundle.folder, "sha256": bundle.weights.sha256, **start}
        return read_options(TrainConfig, {**tiny_json, "iterations": 1, "start": given})

    return make


def weights(folder):
    return torch.load(folder / "bundle" / "weights.pt", weights_only=True)


def test_only_the_parts_that_are_named_change(going_on, data_folder, first, tmp_path):
    folder = train(going_on(trained=["score_head"]), data_folder, tmp_path)
    before, after = weights(first), weights(tmp_path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("score_head") for name in changed)
    assert bundles.load(folder).provenance["started_from"]["trained"] == ["score_head"]


def test_without_names_everything_goes_on_from_there(going_on, data_folder, first):
    run = Run(going_on(), data_folder, Place(0, 1))
    state = run.model.state_dict()
    assert all(torch.equal(state[name], value.float()) for name, value in weights(first).items())
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_what_it_starts_from_is_part_of_the_training_and_where_that_lies_is_not(going_on, tiny_json):
    fresh = read_options(TrainConfig, {**tiny_json, "iterations": 1})
    assert len({fresh.fingerprint, going_on().fingerprint, going_on(trained=["theta"]).fingerprint}) == 3
    assert going_on(bundle="elsewhere").fingerprint == going_on().fingerprint


def test_other_weights_than_it_names_are_refused(going_on, data_folder):
    with pytest.raises(TrainingError, match="starts from abc.*Name the right bundle"):
        Run(going_on(sha256="abc"), data_folder, Place(0, 1))


def test_a_part_that_does_not_exist_is_refused_with_those_that_do(going_on, data_folder):
    with pytest.raises(OptionError, match="encoder.*global_network, local_network, score_head, theta"):
        Run(going_on(trained=["encoder"]), data_folder, Place(0, 1))
