"""The pipeline: known tissue in, the same tissue out, however the volume lies; and what a bundle may not do."""

import dataclasses
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from EfficientSegLib import bundle as bundles
from EfficientSegLib import networks
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Postprocess, Preprocess, Weights
from EfficientSegLib.errors import BundleError, ContinuationError, OptionError, VolumeError
from EfficientSegLib.geometry import patch_grid, whole
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.segment import Listener, load_model, segment
from EfficientSegLib.strategies import STRATEGIES
from EfficientSegLib.volume import Volume

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
NMSW = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
OBLIQUE = np.array([[0.8, 0.6, 0.0], [-0.48, 0.64, 0.6], [0.36, -0.48, 0.8]])


class Threshold(nn.Module):
    """Label 1 where the value is above one half. Meets `PatchModel`."""

    size_multiple, num_labels, patch_size = (1, 1, 1), 3, (16, 16, 16)

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.cat((torch.zeros_like(x), 20 * (x - 0.5), torch.full_like(x, -50)), dim=1) + self.nothing


class CoarseThreshold(Threshold):
    """The same as a `GlobalLocalModel`: coarse on half the resolution, exact in the patches."""

    overlap, downsampling = 0.5, (2, 2, 2)

    def shrink(self, volume):
        return functional.avg_pool3d(volume, 2)

    def propose(self, low, shape):
        count = len(patch_grid(shape, self.patch_size, self.overlap))
        return Proposal(self(low), torch.arange(count).float(), torch.ones(count, dtype=torch.bool))

    def local(self, patch):
        return self(patch)

    @property
    def class_weights(self):
        return torch.tensor([0.9, 0.9, 0.2])


def bundle(**changes) -> Bundle:
    values = {
        "schema": 1,
        "name": "test",
        "version": "1.0.0",
        "title": "Test",
        "modality": "CT",
        "channels": ("CT",),
        "labels": (Label(7, "Bone", (255, 255, 255)), Label(9, "Nothing", (0, 0, 0))),
        "preprocess": Preprocess("RAS", (2.0, 2.0, 2.0), Intensity("window", -1000.0, 1000.0)),
        "network": Component("nmsw", NMSW),
        "strategy": Component("nmsw", {"top_k": 4}),
        "weights": Weights("weights.pt", "0"),
        "licence": Licence("none", "none", "tests"),
    }
    return Bundle(**{**values, **changes})


def phantom(direction=None, spacing=(1.0, 1.3, 2.2), shape=(72, 60, 40)) -> tuple[Volume, np.ndarray]:
    """An ellipsoid of 800 HU in air, off the centre, so that any exchange of axes shows."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    centre, radii = np.array(shape) * (0.4, 0.55, 0.6), np.array(shape) * (0.25, 0.3, 0.2)
    truth = (((index - centre) / radii) ** 2).sum(-1) <= 1
    array = np.where(truth, 800, -900).astype(np.int16)[None]
    direction = np.eye(3) if direction is None else direction
    return Volume(array, spacing, (10.0, -20.0, 30.0), tuple(map(tuple, direction))), truth


def dice(a, b):
    return 2 * np.logical_and(a, b).sum() / (a.sum() + b.sum())


class Painter(Listener):
    """Puts every partial result into one picture, as the panel does."""

    def __init__(self, stop_after=None):
        self.labels, self.boxes, self.events, self.stop_after, self.read = None, None, [], stop_after, 0

    def partial(self, labels, box, patches_read, patches_total):
        if self.labels is None:
            self.labels = np.zeros(box.shape, labels.dtype)
        self.labels[box.slices()] = labels
        self.events.append(("partial", patches_read))

    def patches(self, boxes, candidates):
        self.boxes, self.candidates = boxes, candidates

    def class_weights(self, weights):
        self.weights = weights

    def progress(self, stage, fraction, done=0, total=0, seconds_left=None):
        self.events.append((stage, fraction))
        self.read = done if stage == "patches" else self.read

    def should_stop(self):
        return self.stop_after is not None and self.read >= self.stop_after


@pytest.mark.parametrize("model", [Threshold(), CoarseThreshold()], ids=["sliding_window", "nmsw"])
@pytest.mark.parametrize(
    "direction",
    [np.eye(3), np.diag([-1.0, -1.0, 1.0]), np.eye(3)[:, [2, 0, 1]], np.diag([1.0, 1.0, -1.0]), OBLIQUE],
    ids=["axial", "flipped", "sagittal", "left-handed", "oblique"],
)
def test_a_phantom_comes_back_where_it_was(model, direction):
    volume, truth = phantom(direction)
    name = "nmsw" if isinstance(model, CoarseThreshold) else "sliding_window"
    result = segment(volume, bundle(), model, strategy=name)
    assert result.labels.shape == truth.shape
    assert set(np.unique(result.labels)) == {0, 7}
    assert dice(result.labels == 7, truth) > 0.96
    assert result.complete


def test_what_the_panel_painted_is_what_the_run_returns(monkeypatch):
    monkeypatch.setattr("EfficientSegLib.pace.PARTIAL_SECONDS", 0)
    monkeypatch.setattr("EfficientSegLib.pace.PARTIAL_SHARE", 1)
    monkeypatch.setattr("EfficientSegLib.pace.WORTH", 0)
    monkeypatch.setattr("EfficientSegLib.pace.WORTH", 0)
    volume, _ = phantom()
    painter = Painter()
    result = segment(volume, bundle(), CoarseThreshold(), options={"top_k": 6}, listener=painter)
    last = result.patches[-1].box
    untouched = np.ones(result.labels.shape, bool)
    rim = last.grown(4).intersection(whole(untouched.shape))
    untouched[rim.slices()] = False  # the last patch comes with the final labels
    assert np.array_equal(painter.labels[untouched], result.labels[untouched])
    assert [read for kind, read in painter.events if kind == "partial"] == [0, 1, 2, 3, 4, 5]
    assert painter.boxes == result.patches and len(result.patches) == 6
    assert painter.weights == {7: pytest.approx(0.9), 9: pytest.approx(0.2)} == result.class_weights
    fractions = [fraction for kind, fraction in painter.events if kind != "partial"]
    assert fractions == sorted(fractions)


def test_chosen_boxes_lie_in_the_input_volume():
    volume, _ = phantom(np.eye(3)[:, [2, 0, 1]])
    result = segment(volume, bundle(), CoarseThreshold(), options={"top_k": None})
    covered = np.zeros(volume.array.shape[1:], bool)
    for patch in result.patches:
        assert patch.box.intersection(whole(covered.shape)) == patch.box
        covered[patch.box.slices()] = True
    assert covered.all()


def test_after_a_stop_the_work_so_far_is_returned():
    volume, truth = phantom()
    result = segment(volume, bundle(), CoarseThreshold(), options={"top_k": 6}, listener=Painter(stop_after=2))
    assert (result.complete, result.patches_read, result.patches_total) == (False, 2, 6)
    assert dice(result.labels == 7, truth) > 0.85


@pytest.mark.parametrize("first", [{"options": {"top_k": 2}}, {"options": {"top_k": 6}, "listener": Painter(3)}])
def test_going_on_from_an_earlier_run_equals_a_fresh_one(first):
    volume, _ = phantom(OBLIQUE)
    model = CoarseThreshold()
    fresh = segment(volume, bundle(), model, options={"top_k": 7})
    earlier = segment(volume, bundle(), model, **first)
    read_before = earlier.patches_read
    painter = Painter()
    result = segment(volume, bundle(), model, options={"top_k": 7}, earlier=earlier, listener=painter)
    assert np.array_equal(result.labels, fresh.labels)
    assert (result.patches, result.patches_read, result.complete) == (fresh.patches, 7, True)
    assert painter.events[0][0] == "prepare" and painter.boxes == result.patches
    assert next(read for kind, read in painter.events if kind == "partial") == read_before in (2, 3)


def test_a_run_on_another_volume_or_by_a_strategy_without_steps_is_not_continued():
    volume, _ = phantom()
    model = CoarseThreshold()
    earlier = segment(volume, bundle(), model)
    with pytest.raises(ContinuationError, match="another volume"):
        segment(phantom(shape=(72, 60, 42))[0], bundle(), model, earlier=earlier)
    with pytest.raises(ContinuationError, match="'sliding_window' begins anew always"):
        segment(volume, bundle(), model, strategy="sliding_window", earlier=earlier)
    without = segment(volume, bundle(), model, strategy="sliding_window")
    with pytest.raises(ContinuationError, match="nothing to go on from"):
        segment(volume, bundle(), model, earlier=without)


@pytest.mark.parametrize("strategy", sorted({*STRATEGIES} - {"slices"}))  # its networks: test_live_slabs.py
def test_every_strategy_segments_reports_and_stops(strategy):
    volume, truth = phantom()
    painter = Painter()
    result = segment(volume, bundle(), CoarseThreshold(), strategy=strategy, listener=painter)
    assert dice(result.labels == 7, truth) > 0.85
    assert result.complete and result.patches_read == result.patches_total > 0
    fractions = [fraction for kind, fraction in painter.events if kind != "partial"]
    assert fractions == sorted(fractions) and painter.read == result.patches_total
    if result.patches_total > 1:
        stopped = segment(volume, bundle(), CoarseThreshold(), strategy=strategy, listener=Painter(stop_after=1))
        assert (stopped.complete, stopped.patches_read) == (False, 1)


def test_without_a_structure_zoom_out_has_nothing_to_read_and_is_complete():
    volume, _ = phantom()
    air = dataclasses.replace(volume, array=np.where(volume.array > 0, -700, volume.array))
    result = segment(air, bundle(), CoarseThreshold(), strategy="zoom_out")
    assert (result.complete, result.patches_total, result.candidates) == (True, 0, 2)
    assert not result.labels.any()


def test_auxiliary_labels_are_written_as_background_and_largest_pieces_stay():
    labels = (Label(7, "Bone", (255, 255, 255), auxiliary=True), Label(9, "Nothing", (0, 0, 0)))
    volume, truth = phantom()
    assert not segment(volume, bundle(labels=labels), CoarseThreshold()).labels.any()
    volume.array[0, 2:6, 2:6, 2:6] = 800
    pieces = bundle(postprocess=Postprocess((7,)))
    assert segment(volume, bundle(), CoarseThreshold(), options={"top_k": None}).labels[4, 4, 4] == 7
    result = segment(volume, pieces, CoarseThreshold(), options={"top_k": None})
    assert result.labels[4, 4, 4] == 0 and dice(result.labels == 7, truth) > 0.96


def test_two_runs_are_identical():
    volume, _ = phantom(OBLIQUE)
    first, second = (segment(volume, bundle(), CoarseThreshold()) for _ in range(2))
    assert np.array_equal(first.labels, second.labels) and first.patches == second.patches


@pytest.mark.parametrize(
    "change, words",
    [
        ({"array": np.full((1, 72, 60, 40), 40, np.int16)}, "Every voxel is 40"),
        ({"array": np.full((1, 72, 60, 40), np.nan, np.float32)}, "(?i)nan|finite"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "(?i)spacing"),
    ],
)
def test_a_volume_that_cannot_be_right_is_refused(change, words):
    volume, _ = phantom()
    with pytest.raises(VolumeError, match=words):
        segment(dataclasses.replace(volume, **change), bundle(), Threshold(), strategy="sliding_window")


def test_a_volume_of_two_channels_is_refused():
    volume, _ = phantom()
    two = dataclasses.replace(volume, array=np.repeat(volume.array, 2, axis=0))
    with pytest.raises(OptionError, match="2 channels.*trained on 1"):
        segment(two, bundle(), Threshold())


@pytest.fixture
def saved(tmp_path):
    """Writes a bundle whose weights are the given object, and gives it back loaded."""

    def save(content=None, **changes):
        model = networks.build("nmsw", NMSW, 1, 3)
        torch.save(model.state_dict() if content is None else content, tmp_path / "weights.pt")
        digest = bundles.checksum(tmp_path / "weights.pt")
        bundles.save(bundle(weights=Weights("weights.pt", digest), **changes), tmp_path)
        return bundles.load(tmp_path)

    return save


def test_saved_weights_are_loaded_into_every_parameter(saved):
    state = networks.build("nmsw", NMSW, 1, 3).state_dict()
    loaded = load_model(saved(state), "cpu")
    assert not loaded.training
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_half_precision_weights_run_in_single_precision(saved):
    state = {name: tensor.half() for name, tensor in networks.build("nmsw", NMSW, 1, 3).state_dict().items()}
    assert {parameter.dtype for parameter in load_model(saved(state), "cpu").parameters()} == {torch.float32}


@pytest.mark.parametrize("fault", ["missing", "left over", "shape", "no dictionary"])
def test_weights_that_do_not_fit_are_refused(saved, fault):
    state = networks.build("nmsw", NMSW, 1, 3).state_dict()
    if fault == "missing":
        del state["theta"]
    elif fault == "left over":
        state["extra"] = torch.zeros(1)
    elif fault == "shape":
        state["theta"] = torch.zeros(9)
    else:
        state = torch.zeros(3)
    with pytest.raises(BundleError, match="do not fit"):
        load_model(saved(state), "cpu")


def test_code_in_the_weights_is_never_run(saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    loaded = saved()
    (tmp_path / "weights.pt").write_bytes(pickle.dumps({"theta": Trap()}))
    trapped = dataclasses.replace(loaded, weights=Weights("weights.pt", bundles.checksum(tmp_path / "weights.pt")))
    with pytest.raises(BundleError, match="cannot be read.*never code") as caught:
        load_model(trapped, "cpu")
    assert "weights_only" not in str(caught.value)  # torch's own words would advise to run it
    assert not (tmp_path / "sprung").exists()


def test_broken_weights_are_found_before_torch_opens_them(saved, tmp_path, monkeypatch):
    loaded = saved()
    with open(tmp_path / "weights.pt", "ab") as file:
        file.write(b"x")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("torch opened the file"))
    with pytest.raises(BundleError, match="checksum"):
        load_model(loaded, "cpu")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"network": Component("swin", {})}, "Unknown network 'swin'. Known: .*nmsw, .*unet"),
        ({"network": Component("nmsw", {"depth": 3})}, "Unknown option 'depth'"),
        ({"strategy": Component("slide", {})}, "Unknown strategy 'slide'"),
        ({"strategy": Component("nmsw", {"top_k": "many"})}, "'top_k' is 'many'"),
    ],
)
def test_unknown_names_and_options_are_refused(saved, changes, words):
    with pytest.raises(OptionError, match=words):
        load_model(saved(**changes), "cpu")
