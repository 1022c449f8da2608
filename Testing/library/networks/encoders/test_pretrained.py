"""Weights that others trained arrive where they belong, and only when asked for."""

import pytest
import timm_here
import torch

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.encoders import pretrained

why = timm_here.why_not()
needs_timm = pytest.mark.skipif(why is not None, reason=str(why))
FIRST = {"fastvit": "stem_0.conv_kxk.0.conv.weight", "mambaout": "stem.conv1.weight"}


@pytest.fixture(params=FIRST)
def trained(request, tmp_path):
    """An encoder's name, the state of a whole network with its classifier as published, and the file it is in."""
    import timm

    torch.manual_seed(1)
    network = timm.create_model(pretrained.weights_of(request.param).name, pretrained=False)
    file = tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)
    return request.param, network.state_dict(), file


@needs_timm
def test_every_weight_of_the_encoder_is_the_files_and_the_first_layer_sums_the_colours(trained):
    name, state, file = trained
    torch.manual_seed(0)
    encoder = encoders.build(name)
    pretrained.load(encoder, name, file)
    own = encoder.body.state_dict()
    for key, value in own.items():
        expected = state[key.replace("stages_", "stages.").replace("stem_", "stem.")]
        if expected.dim() == 4 and expected.shape[1] == 3:
            expected = expected.sum(dim=1, keepdim=True)
        torch.testing.assert_close(value, expected, msg=key)
    assert own[FIRST[name]].shape[1] == 1


@needs_timm
def test_an_encoder_loads_nothing_by_itself(monkeypatch):
    import timm

    asked, create = [], timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *names, **options: asked.append(options) or create(*names, **options)
    )
    encoders.build("fastvit")
    assert [options["pretrained"] for options in asked] == [False]


@needs_timm
@pytest.mark.parametrize(
    "content, words", [("no weights", "could not be loaded from .*else.pth"), ({}, "There is no .*weight in it")]
)
def test_a_file_that_holds_something_else_is_refused_and_the_encoder_left_as_it_was(content, words, tmp_path):
    encoder = encoders.build("efficientnetv2")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    if isinstance(content, str):
        (tmp_path / "else.pth").write_text(content)
    else:
        torch.save(content, tmp_path / "else.pth")
    with pytest.raises(OptionError, match=words):
        pretrained.load(encoder, "efficientnetv2", tmp_path / "else.pth")
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", sorted(set(encoders.ENCODERS) - {"light"}))
def test_every_weights_licence_is_known(name):
    assert pretrained.weights_of(name).licence


def test_weights_that_nobody_trained_and_files_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(OptionError, match="no pretrained weights for the encoder 'light'"):
        pretrained.weights_of("light")
    with pytest.raises(OptionError, match="missing.pth is not there.*mambaout_tiny.in1k"):
        pretrained.load(encoders.build("light"), "mambaout", tmp_path / "missing.pth")
