"""From a data set to a bundle that segments it, without a word of configuration in between."""

import json
import shlex
import shutil

import numpy as np
import pytest

import phantoms
from EfficientSegLib import bundle as bundles
from EfficientSegLib import volume
from EfficientSegLib.__main__ import main
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.options import read_options
from EfficientSegLib.training import plan_patches as planning
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.plan import Choices, plan
from EfficientSegLib.training.plan_basis import Measured, Sizes
from EfficientSegLib.training.plan_slices import _largest
from EfficientSegLib.training.samples import source
from EfficientSegLib.training.survey import Seen

NAMES = tuple(f"case_{number}" for number in range(5))
SHAPE, SPACING = (40, 32, 28), (8.0, 8.0, 8.0)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Networks of a few channels: what is tested is their fit, not their skill."""
    monkeypatch.setattr(planning, "WIDTHS", (4, 6, 6, 8, 8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torsos")
    for seed, name in enumerate(NAMES):
        phantoms.write_case(folder / name, *phantoms.torso(SHAPE, seed, SPACING), SPACING)
    return folder


@pytest.fixture(scope="module")
def msd(folders):
    """The same cases under a dataset.json of the Decathlon."""
    training = [{"image": f"./{name}/image.nii.gz", "label": f"{name}/label.nii.gz"} for name in NAMES]
    labels = {"0": "background", "1": "Left lobe", "2": "Right lobe", "3": "Spine"}
    content = {"name": "Drawn Torso", "modality": {"0": "CT"}, "labels": labels, "training": training}
    other = folders.parent / "msd"
    other.mkdir(exist_ok=True)
    for name in NAMES:
        (other / name).mkdir(exist_ok=True)
        for file in (folders / name).glob("*.nii.gz"):
            (other / name / file.name).write_bytes(file.read_bytes())
    (other / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return other


@pytest.mark.parametrize("form", ["msd", "folders"])
@pytest.mark.parametrize("network", ["nmsw", "unet"])
def test_plan_and_train_need_no_word_in_between(form, network, request, tmp_path, capsys):
    data = request.getfixturevalue(form)
    file, run = tmp_path / "training.json", tmp_path / "run"
    options = ["--network", network, "--iterations", "2", "--patch", "16,16,16"]
    assert main(["plan", str(data), "--output", str(file), *options]) == 0
    assert "4 cases to train on, 1 to validate" in capsys.readouterr().out
    assert main(["train", str(file), "--data", str(data), "--output", str(run)]) == 0
    assert "validation/loss" in (run / "validation.csv").read_text(encoding="utf-8")
    bundle = bundles.load(run / "bundle")
    assert [label.value for label in bundle.labels] == [1, 2, 3]
    image, found = data / NAMES[0] / "image.nii.gz", tmp_path / "found.nii.gz"
    assert main(["segment", str(image), "--bundle", str(run / "bundle"), "-o", str(found)]) == 0
    assert volume.read(found).shape == SHAPE


def test_plan_and_train_segmate_need_no_word_in_between(msd, tmp_path, capsys):
    file, run = tmp_path / "training.json", tmp_path / "run"
    assert main(["plan", str(msd), "--output", str(file), "--network", "segmate", "--iterations", "2"]) == 0
    assert "segmate, 4 cases to train on, 1 to validate, CT at 8 x 8 x 8 mm" in capsys.readouterr().out
    content = json.loads(file.read_text())
    content["samples"]["options"] |= {"volumes": 2, "slices_per_volume": 1}
    content["bundle"]["network"]["options"]["width"] = 0.1
    file.write_text(json.dumps(content))
    assert main(["train", str(file), "--data", str(msd), "--output", str(run), "--device", "cpu"]) == 0
    assert bundles.load(run / "bundle").outputs == "independent"
    image, found = msd / NAMES[0] / "image.nii.gz", tmp_path / "found.nii.gz"
    assert main(["segment", str(image), "--bundle", str(run / "bundle"), "-o", str(found)]) == 0
    assert volume.read(found).shape == SHAPE


def test_a_plan_for_slices_has_segmates_values_and_the_scans_own_slices(msd):
    planned = plan(msd, Choices(network="segmate", spacing_mm=(4.0, 4.0, 2.0)))
    bundle = planned["bundle"]
    assert bundle["outputs"] == "independent" and bundle["preprocess"]["native_slices"] is True
    assert bundle["network"]["options"]["encoder"] == "light"
    intensity = bundle["preprocess"]["intensity"]
    assert intensity["low"] == -1000.0 and intensity["high"] >= 400.0 and intensity["to"] == (-1.0, 1.0)
    assert bundle["strategy"] == {"name": "slices", "options": {"pad_value": -1.0}}
    assert planned["largest"] == (96, 64, 28)  # 80 x 64 pixels of 4 mm in multiples of 32; 28 slices as they are
    assert (planned["samples"]["name"], planned["recipe"]["name"]) == ("slices", "segmate")
    assert planned["mirrored"] == [[1, 2]] and "mirror" not in planned["samples"]["options"]
    assert (planned["schedule"]["name"], planned["validation_every"]) == ("plateau", 400)
    assert (planned["learning_rate"], planned["weight_decay"]) == (2e-3, 1e-4)
    of_the_paper = plan(msd, Choices(network="segmate", encoder="fastvit"))
    assert of_the_paper["learning_rate"] == 2e-4 and "width" not in of_the_paper["bundle"]["network"]["options"]


def test_a_plan_for_slices_without_validation_or_with_a_lone_side(msd):
    planned = plan(msd, Choices(network="segmate_vanilla", encoder="light", folds=1, minutes=5.0))
    assert "schedule" not in planned and "validation_every" not in planned
    assert planned["bundle"]["network"] == {"name": "segmate_vanilla", "options": {"encoder": "light"}}
    assert plan(msd, Choices(network="segmate", minutes=5.0))["validation_every"] == 0.1
    content = json.loads((msd / "dataset.json").read_text())
    lone = {**content, "labels": {**content["labels"], "2": "Other lobe"}}
    (msd / "dataset.json").write_text(json.dumps(lone))
    try:
        assert plan(msd, Choices(network="segmate"))["samples"]["options"] == {"mirror": 0.0}
    finally:
        (msd / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "choices, words",
    [
        ({"patch_size": (16, 16, 16)}, "patch_size is .*reads whole slices"),
        ({"downsampling": (2, 2, 2)}, "downsampling is "),
        ({"encoder": "resnet"}, "Unknown encoder 'resnet'"),
    ],
)
def test_choices_that_slices_do_not_have_are_refused(choices, words, msd):
    with pytest.raises(OptionError, match=words):
        plan(msd, Choices(network="segmate", **choices))


def test_of_large_cases_few_slices_are_cut_at_a_time():
    seen = [Seen((600, 500, 162), (0.7, 0.7, 3.0), -1024.0, -2.0, np.zeros(1), (1,))]
    sizes = Sizes((600, 500, 162), (600, 500, 162))
    assert _largest(Measured(sizes, (0.7, 0.7, 3.0), "CT", seen)) == (512, 512, 16)


def test_a_plan_measures_what_it_states(msd):
    planned = plan(msd)
    assert planned == plan(msd)
    bundle = planned["bundle"]
    assert bundle["preprocess"]["spacing_mm"] == SPACING
    intensity = bundle["preprocess"]["intensity"]
    spine = [phantoms.torso(SHAPE, seed, SPACING) for seed in range(len(NAMES))]
    brightest = max(np.percentile(image[labels > 0], 99.5) for image, labels in spine)
    assert (intensity["kind"], intensity["low"]) == ("window", -250.0)
    assert 500 < brightest <= intensity["high"] + 50 < brightest + 100  # the paper's 500 would cut the spine off
    assert [(label["value"], label["name"]) for label in bundle["labels"]] == [
        (1, "Left lobe"),
        (2, "Right lobe"),
        (3, "Spine"),
    ]
    assert len({tuple(label["color"]) for label in bundle["labels"]}) == 3
    assert planned["mirrored"] == [[1, 2]]
    assert bundle["name"] == "drawn-torso-nmsw"
    config = read_options(TrainConfig, json.loads(json.dumps(planned)))
    assert config.template.licence.data == "unknown: fill in"


def test_folds_part_the_cases(folders):
    parts = [plan(folders, Choices(fold=fold, folds=3, seed=4)) for fold in range(3)]
    left_out = [[case["image"] for case in part["validation"]] for part in parts]
    assert sorted(name for names in left_out for name in names) == [f"{name}/image.nii.gz" for name in NAMES]
    for part, names in zip(parts, left_out):
        assert not {case["image"] for case in part["cases"]} & set(names)
    assert plan(folders, Choices(folds=1))["validation"] == []
    with pytest.raises(OptionError, match="9 folds and 5 cases"):
        plan(folders, Choices(folds=9))


@pytest.mark.parametrize("count, trained, validated", [(1, 1, 0), (3, 2, 1)])
def test_a_plan_of_few_cases_has_as_many_folds_as_they_allow_and_says_so(
    folders, tmp_path, caplog, count, trained, validated
):
    for name in NAMES[:count]:
        shutil.copytree(folders / name, tmp_path / name)
    planned = plan(tmp_path, Choices(network="unet"))
    assert (len(planned["cases"]), len(planned["validation"])) == (trained, validated)
    assert ("validation_every" in planned) == bool(validated)
    assert f"--folds is {count}, not 5" in caplog.text
    with pytest.raises(OptionError, match=f"There are 5 folds and {count} cases.*--folds {count} or fewer"):
        plan(tmp_path, Choices(network="unet", folds=5))
    with pytest.raises(OptionError, match=f"fold is 4 of {count}"):
        plan(tmp_path, Choices(network="unet", fold=4))


@pytest.mark.parametrize("chosen, every", [({}, 1000), ({"iterations": 7}, 1), ({"minutes": 5.0}, 0.25)])
def test_a_plan_with_cases_to_validate_on_validates(folders, chosen, every):
    planned = plan(folders, Choices(network="unet", **chosen))
    assert planned["validation_every"] == every
    assert read_options(TrainConfig, planned).validation_every == every
    assert "validation_every" not in plan(folders, Choices(network="unet", folds=1, **chosen))


def test_a_wrong_name_and_too_many_folds_are_refused_before_a_case_is_read(folders, monkeypatch):
    monkeypatch.setattr("EfficientSegLib.training.plan.look", lambda *_: pytest.fail("A case was read."))
    for wrong in ({"network": "stp_unter"}, {"local": "stp_unter"}):
        with pytest.raises(OptionError, match=f"{next(iter(wrong))} is 'stp_unter'.*stp_unetr"):
            plan(folders, Choices(**wrong))
    with pytest.raises(OptionError, match="9 folds and 5 cases"):
        plan(folders, Choices(folds=9))


def test_the_command_that_comes_next_can_be_copied_with_blanks(folders, tmp_path, capsys):
    output = tmp_path / "a name" / "plan.json"
    assert main(["plan", str(folders), "--network", "unet", "--folds", "1", "-o", str(output)]) == 0
    told = shlex.split(capsys.readouterr().out.splitlines()[1].split("then: ")[1])
    assert told[:5] == ["python", "-m", "EfficientSegLib", "train", str(output)] and told[6] == str(folders)


def test_mr_is_planned_by_percentiles_and_one_wild_voxel_does_no_harm(tmp_path):
    for seed in range(3):
        image, labels = phantoms.torso(SHAPE, seed, SPACING)
        values = np.maximum(image.astype(np.float32) + 1000, 0) * (10.0**seed)
        values[5, 5, 5] = 1.7e6
        phantoms.write_case(tmp_path / str(seed), values, labels, SPACING)
    planned = plan(tmp_path, Choices(network="unet", folds=1))
    assert planned["bundle"]["modality"] == "MR"
    pad = planned["bundle"]["strategy"]["options"]["pad_value"]
    config = read_options(TrainConfig, json.loads(json.dumps(planned)))
    samples = source("volume").open_source(config, config.cases, tmp_path, (16, 16, 16), (4, 4, 4))
    for number in range(3):
        image = samples.still(number).image
        assert float(image.std()) == pytest.approx(1, abs=0.02)
        assert float(image.abs().max()) < 6
        assert float(image.min()) == pytest.approx(pad, abs=0.1)


@pytest.mark.parametrize("network", ["nmsw", "unet", "mednext"])
@pytest.mark.parametrize("median", [(35, 51, 36), (121, 138, 47), (480, 480, 288)])
def test_any_size_gets_a_patch_that_the_network_takes_and_samples_that_hold_it(network, median, monkeypatch):
    sizes = Sizes(median, tuple(n + 9 for n in median))
    choices = Choices(network=network)
    component, patch, multiple = planning._network(choices, sizes)
    largest = planning._largest(choices, sizes, patch, multiple)
    assert max(patch) <= 128
    assert all(a >= p and a % m == 0 for a, p, m in zip(largest, patch, multiple))
    if network == "nmsw":
        assert component["options"]["downsampling"] == tuple(min(max(n // 24, 1), 3) for n in median)
        assert all(p <= n for p, n in zip(patch, median))


def test_large_scans_get_the_papers_sizes(monkeypatch):
    monkeypatch.setattr(planning, "WIDTHS", (32, 64, 128, 256, 320))
    component, patch, _ = planning._network(Choices(), Sizes((480, 480, 288), (480, 480, 288)))
    assert patch == (128, 128, 128)
    assert component["options"]["downsampling"] == (3, 3, 3)
    paper = {"channels": [32, 64, 128, 256, 320, 320], "strides": [2, 2, 2, 2, 2, 1]}
    assert component["options"]["local_options"] == paper


def test_choices_replace_what_is_measured(folders):
    given = Choices(
        spacing_mm=(16.0, 16.0, 16.0), patch_size=(8, 8, 8), downsampling=(1, 1, 1), largest=(24, 24, 24), minutes=3.0
    )
    planned = plan(folders, given)
    options = planned["bundle"]["network"]["options"]
    assert planned["bundle"]["preprocess"]["spacing_mm"] == (16.0, 16.0, 16.0)
    assert (options["patch_size"], options["downsampling"]) == ((8, 8, 8), (1, 1, 1))
    assert (planned["largest"], planned["minutes"], planned["iterations"]) == ((24, 24, 24), 3.0, None)


def test_an_edited_plan_is_not_overwritten(folders, tmp_path, capsys):
    file = tmp_path / "training.json"
    file.write_text("mine", encoding="utf-8")
    assert main(["plan", str(folders), "--output", str(file)]) == 1
    assert "may have been edited" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("wrong", [{"fold": 5}, {"patch_size": (0, 8, 8)}, {"spacing_mm": (1.0, -1.0, 1.0)}])
def test_impossible_choices_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Choices(**wrong)


def test_a_patch_that_the_network_cannot_take_is_refused(folders):
    with pytest.raises(OptionError, match=r"patch_size is \(50, 50, 50\).*unet.*multiples of .*Use \(64, 64, 64\)"):
        plan(folders, Choices(network="unet", patch_size=(50, 50, 50)))


def test_a_case_that_is_one_value_is_named(tmp_path):
    image, labels = phantoms.torso(SHAPE, 0, SPACING)
    phantoms.write_case(tmp_path / "flat", image * 0, labels, SPACING)
    with pytest.raises(VolumeError, match="flat/image.nii.gz: Every voxel is 0"):
        plan(tmp_path)
