"""OpenVINO computes what torch computes. Needs the optional package; skipped, visibly, without it."""

import copy
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from EfficientSegLib import devices, networks
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import DeviceError, VolumeError
from EfficientSegLib.networks import SliceModel
from EfficientSegLib.networks.openvino import for_openvino

UNET = {"channels": [4, 6, 6], "strides": [2, 2, 1]}
SMALL = {
    "unet": (UNET, (16, 16, 12)),
    "mednext": ({"channels": 4, "expansion": [2, 2, 2], "blocks": [1, 1, 1]}, (8, 12, 16)),
}
NMSW = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
# Looked for, not imported: the test's own import would report to its makers.
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the optional extra 'openvino' is not installed"
)


def build(name, options):
    torch.manual_seed(0)
    return networks.build(name, options, 1, 3).eval()


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeviceError, match="OpenVINO is not installed.*pip install openvino.*'torch'"):
        for_openvino(build("unet", UNET))


def test_it_runs_on_the_cpu_only():
    assert devices.check_backend("openvino", "auto") == "cpu" and devices.check_backend("torch", "cuda") == "cuda"
    with pytest.raises(DeviceError, match="'openvino' was asked for on the device 'cuda'.*CPU only"):
        devices.check_backend("openvino", "cuda")


SWIN = {"feature_size": 12, "depths": [1, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 3}


@pytest.mark.parametrize("name, shown", [("swin_smt", "SwinSMT"), ("swin_unetr", "SwinUNETR")])
@pytest.mark.parametrize("inside", [False, True])
def test_networks_whose_windows_follow_the_patch_are_refused_with_the_reason(name, shown, inside):
    """Whether the package is installed or not: a form with frozen windows would be wrong without a word."""
    local = {"local_backbone": name, "local_options": SWIN, "patch_size": [64, 32, 32]}
    model = build("nmsw", {"global_options": UNET, **local}) if inside else build(name, SWIN)
    with pytest.raises(DeviceError, match=f"OpenVINO cannot run {shown}.*windows follow the size.*'torch'"):
        for_openvino(model)


@needs_openvino
@pytest.mark.parametrize("name", SMALL)
def test_a_patch_network_gives_the_same_logits_for_every_shape(name):
    options, shape = SMALL[name]
    plain = build(name, options)
    model = for_openvino(copy.deepcopy(plain))
    for size in (shape, tuple(2 * n for n in shape), shape):
        x = torch.randn(1, 1, *size)
        with torch.inference_mode():
            torch.testing.assert_close(model(x), plain(x), rtol=1e-4, atol=1e-3)
            assert torch.equal(model(x), model(x))


@needs_openvino
def test_nmsw_gives_the_same_proposal_and_patches():
    plain = build("nmsw", NMSW)
    model = for_openvino(copy.deepcopy(plain))
    x = torch.randn(1, 1, 32, 16, 16)
    with torch.inference_mode():
        for one, other in zip(
            plain.propose(plain.shrink(x), (32, 16, 16)), model.propose(plain.shrink(x), (32, 16, 16))
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
        patch = x[..., :16, :16, :16]
        torch.testing.assert_close(plain.local(patch), model.local(patch), rtol=1e-4, atol=1e-3)


@needs_openvino
@pytest.mark.parametrize(
    "name, options",
    [
        ("segmate", {"width": 0.25}),
        ("segmate", {"width": 0.25, "slices": 1, "position": False}),
        ("segmate_vanilla", {}),
    ],
)
def test_a_slice_network_gives_the_same_masks_and_presence_for_every_size_with_and_without_position(name, options):
    plain = build(name, {"encoder": "light", **options})
    model = for_openvino(copy.deepcopy(plain))
    assert isinstance(model, SliceModel) and model.size_multiple == plain.size_multiple
    for shape in ((2, plain.slices, 64, 96), (1, plain.slices, 32, 64)):
        x, position = torch.randn(*shape), torch.rand(shape[0])
        with torch.inference_mode():
            for given in ((x, position), (x,)):
                torch.testing.assert_close(model(*given), plain(*given), rtol=1e-4, atol=1e-4)
                for one, other in zip(model.with_presence(*given), plain.with_presence(*given)):
                    assert one is other is None or torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@needs_openvino
def test_a_slice_of_a_wrong_size_is_refused_in_words():
    model = for_openvino(build("segmate", {"encoder": "light", "width": 0.25}))
    with pytest.raises(VolumeError, match="multiples of.*Pad the slices"):
        model(torch.zeros(1, 3, 50, 64))


@needs_openvino
def test_a_network_that_cannot_be_converted_is_refused_in_words():

    class Spectrum(torch.nn.Module):
        size_multiple, num_labels = (4, 4, 4), 2

        def forward(self, x):
            return torch.linalg.eigvals(x).real

    with pytest.raises(DeviceError, match="OpenVINO cannot run this network.*Choose the backend 'torch'"):
        for_openvino(Spectrum())(torch.zeros(1, 1, 8, 8, 8))


@needs_openvino
def test_nothing_is_reported_to_anybody(tmp_path):
    """OpenVINO's reporter keeps its identity in the home folder, and sends from the first import on."""
    code = (
        "import sys, torch\n"
        "from EfficientSegLib import networks\n"
        "from EfficientSegLib.networks.openvino import for_openvino\n"
        f"for_openvino(networks.build('unet', {UNET}, 1, 2))(torch.zeros(1, 1, 16, 16, 16))\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    home = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=home, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not (tmp_path / "intel").exists()
