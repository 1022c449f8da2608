"""MedNeXt and Swin UNETR: what is refused, gradient checkpointing, and their place in NMSW."""

import subprocess
import sys

import pytest
import torch

from EfficientSegLib import networks
from EfficientSegLib.environment import ROOT
from EfficientSegLib.errors import OptionError

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
SMALL = {
    "unet": (UNET, (16, 16, 16)),
    "mednext": ({"channels": 4, "expansion": [2, 3, 2], "blocks": [1, 2, 1]}, (16, 16, 16)),
    "swin_unetr": ({"feature_size": 12, "depths": [2, 1, 1, 1], "heads": [1, 2, 2, 2], "window": 3}, (64, 32, 32)),
}


@pytest.mark.parametrize("name", ["mednext", "swin_unetr"])
def test_checkpointing_changes_neither_answer_nor_gradient(name):
    options, shape = SMALL[name]
    x = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = networks.build(name, {**options, "checkpointing": checkpointing}, 1, 2).train()
        logits = model(x)
        logits.square().mean().backward()
        found.append([logits.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


def test_checkpointing_keeps_less_for_the_way_back_and_stays_away_without_one():
    kept = []

    def keep(tensor):
        kept[-1] += tensor.numel()
        return tensor

    x = torch.randn(1, 1, 16, 16, 16)
    for checkpointing in (False, True):
        model = networks.build("mednext", {**SMALL["mednext"][0], "checkpointing": checkpointing}, 1, 2)
        for mode in (True, False):
            kept.append(0)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                model.train(mode)(x)
    assert kept[2] < 0.5 * kept[0] and kept[3] == kept[1]


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("mednext", {"blocks": [1, 1]}, "9 expansions and 2 numbers of blocks.*same odd length"),
        ("mednext", {"blocks": [1, 1], "expansion": [2, 2]}, "odd number, three or more"),
        ("mednext", {"kernel": 4}, "kernel 4.*odd"),
        ("swin_unetr", {"feature_size": 32}, "feature_size is 32.*multiple of 12"),
        ("swin_unetr", {"heads": [3, 6, 12, 25]}, "Stage 4 has 192 channels, which 25 heads cannot share"),
        ("swin_unetr", {"window": 1}, "window of one token"),
    ],
)
def test_options_that_make_no_network_are_refused(name, options, words):
    with pytest.raises(OptionError, match=words):
        networks.build(name, options, 1, 2)


@pytest.mark.parametrize("local", SMALL)
def test_each_is_a_local_network_of_nmsw(local):
    options, patch = SMALL[local]
    settings = {"global_options": UNET, "local_backbone": local, "local_options": options, "patch_size": patch}
    model = networks.build("nmsw", settings, 1, 3)
    assert model.local(torch.randn(1, 1, *patch)).shape == (1, 3, *patch)


@pytest.mark.parametrize("name", ["mednext", "swin_unetr"])
def test_neither_can_be_nmsws_global_network_and_the_reason_is_told(name):
    with pytest.raises(OptionError, match=f"global_backbone is '{name}'.*features.*local_backbone"):
        networks.build("nmsw", {"global_backbone": name}, 1, 3)


def test_inference_with_u_nets_never_imports_monai():
    code = (
        "import sys, torch\n"
        "from EfficientSegLib import networks\n"
        "from EfficientSegLib.segment import segment\n"
        "from EfficientSegLib.networks.inference import for_inference\n"
        f"model = for_inference(networks.build('nmsw', {{'global_options': {UNET}, 'local_options': {UNET}, "
        "'patch_size': [16, 16, 16], 'downsampling': [2, 2, 2]}, 1, 2))\n"
        "model.local(torch.zeros(1, 1, 16, 16, 16))\n"
        "from EfficientSegLib.strategies import STRATEGIES, module\n"
        "[module(name) for name in ('nmsw', 'sliding_window')]\n"
        "print(sorted({'monai', 'einops', 'openvino', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
