"""Laws that every encoder obeys, and what is said where timm does not work."""

import sys
import types

import pytest
import timm_here
import torch

from EfficientSegLib.errors import DeviceError, OptionError
from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.encoders import from_timm

FROM_TIMM = {"efficientnetv2": 52.200, "mambaout": 22.904, "fastvit": 6.381}  # million parameters, as published
why = timm_here.why_not()
needs_timm = pytest.mark.skipif(why is not None, reason=str(why))
ALL = [pytest.param(name, marks=needs_timm if name in FROM_TIMM else ()) for name in encoders.ENCODERS]


@pytest.mark.parametrize("name", ALL)
def test_it_gives_four_maps_of_the_channels_it_names_at_strides_4_to_32(name):
    torch.manual_seed(0)
    encoder = encoders.build(name).eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(2, 1, 64, 96))
    expected = [(2, channels, 64 // s, 96 // s) for channels, s in zip(encoder.channels, (4, 8, 16, 32), strict=True)]
    assert [tuple(features.shape) for features in maps] == expected


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_receives_a_gradient(name):
    torch.manual_seed(0)
    encoder = encoders.build(name)
    sum(features.square().sum() for features in encoder(torch.randn(2, 1, 64, 64))).backward()
    assert not [name for name, parameter in encoder.named_parameters() if parameter.grad is None]


@needs_timm
@pytest.mark.parametrize("name", FROM_TIMM)
def test_those_of_timm_have_the_published_number_of_parameters(name):
    with torch.device("meta"):
        encoder = encoders.build(name)
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6, 3) == FROM_TIMM[name]


def test_the_light_one_needs_no_timm_and_is_small():
    encoder = encoders.build("light")
    assert sum(p.numel() for p in encoder.parameters()) < 1.0e6
    assert not any("timm" in type(module).__module__ for module in encoder.modules())


def test_an_unknown_encoder_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="Unknown encoder 'resnet'. Known: efficientnetv2, fastvit, light, mambaout"):
        encoders.build("resnet")


def test_a_missing_timm_is_said_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # Python then says ModuleNotFoundError
    with pytest.raises(DeviceError, match="package timm is missing.*optional.*PyTorch extension.*--no-deps.*light"):
        encoders.build("fastvit")


@pytest.mark.parametrize("kind", [RuntimeError, AttributeError, ImportError, OSError])
def test_a_torchvision_of_another_torch_is_said_with_the_cure(kind, monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text(f"raise {kind.__name__}('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(DeviceError, match="does not match torch .*nms.*torchvision together") as said:
        encoders.build("mambaout")
    assert isinstance(said.value.__cause__, kind)


def test_a_timm_that_is_too_old_is_said_with_the_version_that_will_do(monkeypatch):
    old = types.SimpleNamespace(__version__="0.9.16", is_model=lambda name: False)
    monkeypatch.setitem(sys.modules, "timm", old)
    with pytest.raises(DeviceError, match=f"timm 0.9.16 has no mambaout_tiny.*{from_timm.OLDEST_TIMM} or newer"):
        encoders.build("mambaout")
