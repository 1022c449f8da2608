"""Weights that others trained: only where they are asked for, their licence shown and kept in the bundle."""

import json
import logging

import pytest
import torch

from EfficientSegLib import bundle as bundles
from EfficientSegLib.__main__ import main
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.networks.encoders import pretrained
from EfficientSegLib.networks.encoders.from_timm import Pretrained
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train, train_from_file
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place

KNOWN = Pretrained("drawn_net.drawn_in1k", "Licence of Tests")
ALONE = Place(0, 1)


@pytest.fixture
def fetched(monkeypatch):
    """Weights of the light encoder, as if somebody had published them: 0.25 everywhere; what was fetched, in order."""
    calls = []

    def load(encoder, name, file=None):
        calls.append((name, file))
        value = 0.25 if file is None else torch.load(file, weights_only=True)["value"]
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.fill_(value)

    monkeypatch.setattr(pretrained, "weights_of", lambda name: KNOWN)
    monkeypatch.setattr(pretrained, "load", load)
    return calls


def write(content, folder):
    path = folder / "training.json"
    path.write_text(json.dumps(content))
    return path


def config(content, **changes):
    return read_options(TrainConfig, {**content, **changes})


def test_nothing_is_fetched_without_being_asked_for(slices_json, data_folder, tmp_path, fetched):
    train(config(slices_json, iterations=1), data_folder, tmp_path / "plain")
    named = {"encoder_weights": {"name": KNOWN.name}}
    with pytest.raises(TrainingError, match="Licence of Tests.*--pretrained-encoder"):
        train(config(slices_json, **named), data_folder, tmp_path / "named")
    assert not fetched and not (tmp_path / "named").exists()


def test_asked_for_it_is_fetched_once_its_licence_shown_and_kept(slices_json, data_folder, tmp_path, fetched, caplog):
    path, run = write({**slices_json, "learning_rate": 0.0}, tmp_path), tmp_path / "run"
    arguments = ["train", str(path), "--data", str(data_folder), "--output", str(run), "--device", "cpu"]
    with caplog.at_level(logging.WARNING):
        assert main([*arguments, "--pretrained-encoder"]) == 0
    assert "drawn_net.drawn_in1k (timm). Licence: Licence of Tests" in caplog.text
    assert fetched == [("light", None)]
    bundle = bundles.load(run / "bundle")
    assert bundle.licence.weights == (
        "Apache-2.0; the encoder began with drawn_net.drawn_in1k (timm): Licence of Tests"
    )
    assert bundle.provenance["encoder_weights"]["name"] == KNOWN.name
    weights = torch.load(bundle.weights_path, weights_only=True)
    first = weights["encoder.levels.0.0.block.0.weight"]
    assert torch.equal(first, torch.full_like(first, 0.25))
    assert main([*arguments, "--pretrained-encoder"]) == 0  # all done: the checkpoint has them
    assert len(fetched) == 1


def test_a_file_serves_offline_and_its_content_is_part_of_the_training(slices_json, data_folder, tmp_path, fetched):
    path, file = write(slices_json, tmp_path), tmp_path / "weights.pth"
    torch.save({"value": 0.125}, file)
    train_from_file(path, data_folder, tmp_path / "run", pretrained_encoder=file)
    assert fetched == [("light", file)]
    told = bundles.load(tmp_path / "run" / "bundle").provenance["encoder_weights"]
    assert told["sha256"] == bundles.checksum(file)
    torch.save({"value": 0.5}, file)
    with pytest.raises(TrainingError, match="another training"):
        train_from_file(path, data_folder, tmp_path / "run", pretrained_encoder=file)
    weights = {"name": KNOWN.name, "file": str(file), "sha256": told["sha256"]}
    with pytest.raises(TrainingError, match="checksum"):
        Run(config(slices_json, encoder_weights=weights), data_folder, ALONE)


def test_where_a_file_lies_does_not_matter_to_a_training_and_what_is_in_it_does(slices_json):
    def fingerprint(**weights):
        return config(slices_json, encoder_weights={"name": KNOWN.name, **weights}).fingerprint

    assert fingerprint(file="a", sha256="1") == fingerprint(file="b", sha256="1")
    assert len({fingerprint(sha256="1"), fingerprint(sha256="2"), config(slices_json).fingerprint}) == 3
    assert config(slices_json, encoder_weights=None).fingerprint == config(slices_json).fingerprint


def test_what_cannot_be_is_refused(slices_json, tiny_json, data_folder, tmp_path, fetched):
    with pytest.raises(OptionError, match="names other.x.*Those of this encoder are drawn_net"):
        train(config(slices_json, encoder_weights={"name": "other.x"}), data_folder, tmp_path, pretrained_encoder=True)
    start = {"bundle": "b", "sha256": "0"}
    with pytest.raises(OptionError, match="start and encoder_weights are both given"):
        config(slices_json, encoder_weights={"name": KNOWN.name}, start=start)
    with pytest.raises(OptionError, match="gone.pth is not there"):
        path = write(slices_json, tmp_path)
        train_from_file(path, data_folder, tmp_path, pretrained_encoder=tmp_path / "gone.pth")
    tiny_json["bundle"]["network"] = {"name": "unet"}
    with pytest.raises(OptionError, match="'unet' has no encoder"):
        train_from_file(write(tiny_json, tmp_path), data_folder, tmp_path, pretrained_encoder=True)


def test_the_light_encoder_has_no_such_weights(slices_json, data_folder, tmp_path):
    with pytest.raises(OptionError, match="no pretrained weights for the encoder 'light'"):
        train_from_file(write(slices_json, tmp_path), data_folder, tmp_path, pretrained_encoder=True)
