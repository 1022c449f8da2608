"""Plans for STP + MTA + UNETR and Swin SMT: patches they take whatever the data set, and their papers' trainings."""

import json

import pytest

import phantoms
from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks, volume
from EfficientSegLib.__main__ import main
from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks.patch_size import refuse_size
from EfficientSegLib.options import read_options
from EfficientSegLib.training import plan_patches as planning
from EfficientSegLib.training.config import TrainConfig, check
from EfficientSegLib.training.plan import Choices, plan
from EfficientSegLib.training.plan_basis import Sizes
from EfficientSegLib.training.plan_transformers import network_options

SHAPE, SPACING = (40, 32, 28), (8.0, 8.0, 8.0)
# Narrower still than planned: what is tested is the fit.
NARROW = {
    "stp_unetr": {"width": 12, "heads": 2, "feature_size": 2},
    "swin_smt": {"feature_size": 12, "heads": [1, 2, 4, 4], "experts": 2},
}


@pytest.fixture(scope="module")
def torsos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torsos")
    for seed in range(3):
        phantoms.write_case(folder / str(seed), *phantoms.torso(SHAPE, seed, SPACING), SPACING)
    return folder


@pytest.mark.parametrize("median", [(20, 20, 20), (35, 51, 36), (121, 138, 47), (480, 480, 288)])
@pytest.mark.parametrize("network, local", [(name, name) for name in NARROW] + [("nmsw", name) for name in NARROW])
def test_any_size_gets_a_patch_that_the_network_takes_and_samples_that_hold_it(network, local, median):
    sizes, choices = Sizes(median, tuple(n + 9 for n in median)), Choices(network=network, local=local)
    component, patch, multiple = planning._network(choices, sizes)
    own = component["options"]
    options = own if network == local else own["local_options"]
    reader = networks.build(local, {**options, **NARROW[local]}, 1, 3)
    refuse_size(patch, reader)
    if network == "nmsw":
        assert (own["local_backbone"], own["patch_size"]) == (local, patch)
    largest = planning._largest(choices, sizes, patch, multiple)
    assert all(a >= p and a % m == 0 for a, p, m in zip(largest, patch, multiple))
    assert max(patch) <= (96 if local == "stp_unetr" else 128)


@pytest.mark.parametrize("choices", [{"network": "swin_smt"}, {"network": "nmsw", "local": "swin_unetr"}])
def test_a_chosen_patch_that_is_short_along_every_axis_is_refused(choices):
    sizes = Sizes((64, 64, 64), (64, 64, 64))
    with pytest.raises(OptionError, match="64 or more along one axis"):
        planning._network(Choices(**choices, patch_size=(32, 32, 32)), sizes)
    assert planning._network(Choices(**choices, patch_size=(32, 64, 32)), sizes)[1] == (32, 64, 32)


def test_as_many_tokens_are_dropped_as_in_the_paper_and_fewer_where_none_would_be_left():
    ratios = [network_options("stp_unetr", (side,) * 3)["prune_ratio"] for side in (96, 64, 32)]
    assert ratios == [0.9, 0.75, 0.75]


def test_a_plan_trains_as_the_papers_did(torsos):
    stp, swin = (plan(torsos, Choices(network=name, folds=1)) for name in ("stp_unetr", "swin_smt"))
    for planned in (stp, swin):
        check(read_options(TrainConfig, json.loads(json.dumps(planned))))
        options = planned["recipe"]["options"]
        assert (options["dice_weight"], options["ce_weight"]) == (1.0, 1.0)
        assert options["patch_size"] == planned["bundle"]["strategy"]["options"]["patch_size"]
        assert planned["samples"]["options"]["affine"] == planned["samples"]["options"]["noise"] == 0
    assert (stp["layer_decay"], stp["betas"], stp["weight_decay"], stp["decayed"]) == (
        0.75,
        (0.9, 0.95),
        0.05,
        "weights",
    )
    assert stp["learning_rate"] == pytest.approx(1.72e-2 * 2 / 256, rel=0.005)
    assert stp["recipe"]["options"]["squared"] and stp["recipe"]["options"]["patches"] == 4
    assert stp["bundle"]["preprocess"]["intensity"]["to"] == (-1.0, 1.0)
    assert stp["bundle"]["strategy"]["options"]["pad_value"] == -1.0
    assert (swin["learning_rate"], swin["weight_decay"]) == (1e-4, 1e-5)
    assert "layer_decay" not in swin and "squared" not in swin["recipe"]["options"]
    assert swin["bundle"]["preprocess"]["intensity"]["low"] == -1024.0
    assert swin["samples"]["options"].get("mirror", 0) == 0  # the paper does not flip


def test_a_lone_side_is_not_mirrored(tmp_path):
    image, labels = phantoms.torso(SHAPE, 0, SPACING)
    case = tmp_path / "case"
    phantoms.write_case(case, image, labels, SPACING)
    content = {"name": "Torso", "modality": {"0": "CT"}, "labels": {"0": "background", "1": "Left lobe", "2": "Other"}}
    content["labels"]["3"] = "Spine"
    content["training"] = [{"image": "case/image.nii.gz", "label": "case/label.nii.gz"}]
    for second, mirror in (("Other", 0.0), ("Right lobe", 0.2)):
        content["labels"]["2"] = second
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        options = plan(tmp_path, Choices(network="stp_unetr", folds=1))["samples"]["options"]
        assert (options["mirror"], options["flip_top"]) == (mirror, 0.2)


@pytest.mark.parametrize("network", NARROW)
def test_plan_and_train_need_no_word_in_between(network, torsos, tmp_path):
    file, run, found = tmp_path / "training.json", tmp_path / "run", tmp_path / "found.nii.gz"
    given = ["plan", str(torsos), "--output", str(file), "--network", network, "--iterations", "1", "--folds", "3"]
    assert main(given) == 0
    content = json.loads(file.read_text())
    content["bundle"]["network"]["options"] |= NARROW[network]
    file.write_text(json.dumps(content))
    assert main(["train", str(file), "--data", str(torsos), "--output", str(run), "--device", "cpu"]) == 0
    assert bundles.load(run / "bundle").network.name == network
    image = torsos / "0" / "image.nii.gz"
    assert main(["segment", str(image), "--bundle", str(run / "bundle"), "-o", str(found), "--device", "cpu"]) == 0
    assert volume.read(found).shape == SHAPE


@pytest.mark.parametrize(
    "choices, words",
    [
        ({"network": "stp_unetr", "patch_size": (16, 16, 16)}, r"patch_size is \(16, 16, 16\).*32"),
        (
            {"network": "stp_unetr", "patch_size": (40, 40, 40)},
            r"patch_size is \(40, 40, 40\).*multiple of 16 .*Use \(32, 32, 32\)",
        ),
        (
            {"network": "swin_smt", "patch_size": (48, 64, 64)},
            r"patch_size is \(48, 64, 64\).*multiples of .*Use \(64, 64, 64\)",
        ),
        ({"local": "swin_smt", "patch_size": (32, 32, 32)}, "64 or more along one axis.*Use 64 × 32 × 32"),
        ({"local": "stp_unetr", "patch_size": (40, 40, 40)}, r"patch_size is \(40, 40, 40\).*Use \(32, 32, 32\)"),
        ({"local": "segmate", "patch_size": (64, 64, 64)}, "'segmate' was asked for patches.*Use 'unet'"),
        ({"local": "segmate"}, "'segmate' was asked for patches.*Use 'unet'"),
    ],
)
def test_a_patch_that_the_network_cannot_take_is_refused_before_a_case_is_read(choices, words, torsos, monkeypatch):
    monkeypatch.setattr("EfficientSegLib.training.plan.look", lambda *_: pytest.fail("A case was read."))
    with pytest.raises(OptionError, match=words):
        plan(torsos, Choices(**choices, folds=1))
