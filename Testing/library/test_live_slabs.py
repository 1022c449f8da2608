"""Slices through the whole pipeline: labels where they belong however the volume lies, live, and after a stop."""

import numpy as np
import pytest
import torch
from slice_model import TinySlices, tiny

from EfficientSegLib import networks, segment, strategies
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Postprocess, Preprocess, Weights
from EfficientSegLib.errors import BundleError, ContinuationError, OptionError
from EfficientSegLib.geometry import whole
from EfficientSegLib.listener import Listener
from EfficientSegLib.live_slabs import LiveSlabs
from EfficientSegLib.strategies import sliding_window
from EfficientSegLib.volume import Volume

OBLIQUE = np.array([[0.8, 0.6, 0.0], [-0.48, 0.64, 0.6], [0.36, -0.48, 0.8]])
DIRECTIONS = {
    "axial": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "upside down": np.diag([1.0, 1.0, -1.0]),
    "sagittal": np.eye(3)[:, [2, 0, 1]],
    "oblique": OBLIQUE,
}


class Bright(TinySlices):
    """Label 1 where the value is above one half, label 2 where the slice lies in the upper tenth of the scan."""

    size_multiple = (32, 32)

    def __init__(self):
        super().__init__(labels=2, slices=3, presence=False)

    def with_presence(self, stack, position=None):
        middle = stack[:, 1:2]
        upper = (position[:, None, None, None] - 0.9).expand_as(middle)
        return torch.cat((20 * (middle - 0.5), 100 * upper), dim=1), None


def bundle(**changes) -> Bundle:
    values = {
        "schema": 1,
        "name": "slices",
        "version": "1.0.0",
        "title": "Test",
        "modality": "CT",
        "channels": ("CT",),
        "labels": (Label(7, "Bone", (255, 255, 255)), Label(9, "Head", (0, 0, 0))),
        "preprocess": Preprocess("RAS", (1.5, 1.5, 5.0), Intensity("window", -1000.0, 1000.0), native_slices=True),
        "network": Component("segmate", {}),
        "strategy": Component("slices", {"pad_value": 0.0}),
        "weights": Weights("weights.pt", "0"),
        "licence": Licence("none", "none", "tests"),
        "outputs": "independent",
    }
    return Bundle(**{**values, **changes})


def phantom(direction=None, spacing=(1.0, 1.3, 2.2), shape=(72, 60, 40)) -> tuple[Volume, np.ndarray]:
    """An ellipsoid of 800 HU in air, off the centre, so that any exchange of axes shows."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    centre, radii = np.array(shape) * (0.4, 0.55, 0.4), np.array(shape) * (0.25, 0.3, 0.2)
    truth = (((index - centre) / radii) ** 2).sum(-1) <= 1
    array = np.where(truth, 800, -900).astype(np.int16)[None]
    direction = np.eye(3) if direction is None else direction
    return Volume(array, spacing, (10.0, -20.0, 30.0), tuple(map(tuple, direction))), truth


class Screen(Listener):
    """Paints labels as the panel does, and stops behind a number of slices."""

    def __init__(self, stop_after=None):
        self.labels, self.boxes, self.said, self.stop_after, self.read = None, [], [], stop_after, 0

    def partial(self, labels, box, patches_read, patches_total):
        if self.labels is None:
            self.labels = np.zeros(box.shape, labels.dtype)
        self.labels[box.slices()] = labels
        self.boxes.append(box)

    def progress(self, stage, fraction, done=0, total=0, seconds_left=None):
        self.said.append((stage, fraction, done, total, seconds_left))
        self.read = done if stage in ("slices", "patches") else self.read

    def should_stop(self):
        return self.stop_after is not None and self.read >= self.stop_after


@pytest.fixture
def always(monkeypatch):
    """Every slab is shown, however soon it follows."""
    monkeypatch.setattr("EfficientSegLib.live_slabs.PARTIAL_SECONDS", 0)
    monkeypatch.setattr("EfficientSegLib.live_slabs.PARTIAL_SHARE", 1)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_phantom_comes_back_where_it_was_and_the_position_grows_towards_the_head(direction):
    volume, truth = phantom(direction)
    result = segment.segment(volume, bundle(), Bright())
    found = result.labels == 7
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.96
    # The upper tenth of the slices is label 9: measured along the patient, whichever way the file's axes grow.
    up = np.argwhere(result.labels == 9) @ np.diag(volume.spacing_mm) @ direction.T
    rest = np.argwhere(result.labels != 9) @ np.diag(volume.spacing_mm) @ direction.T
    assert up[:, 2].mean() > rest[:, 2].mean()
    axis = int(np.argmax(np.abs(direction[2])))
    assert (result.labels == 9).mean() == pytest.approx(0.1, abs=1 / volume.shape[axis])
    assert result.complete and result.unit == "slices"
    assert result.patches_read == result.candidates == volume.shape[axis] and result.patches == ()


@pytest.mark.parametrize("options", [{}, {"batch": 7}, {"position": "found"}])
def test_the_pipeline_gives_what_the_strategy_gives(options):
    volume, _ = phantom(spacing=(1.5, 1.5, 2.2))
    model = tiny(seed=2)
    plain = bundle(
        preprocess=Preprocess("LPS", (1.5, 1.5, 1.0), Intensity("window", -1000.0, 1000.0), native_slices=True)
    )
    result = segment.segment(volume, plain, model, options=options)
    image = torch.from_numpy((volume.array.astype(np.float32) + 1000) / 2000)
    module = strategies.module("slices")
    with torch.inference_mode():
        field = module.predict(image, model, module.Options(**{**options, "batch": 1})).logits
        logits = field.region(whole(field.shape))
    assert np.array_equal(result.labels, np.array([0, 7, 9])[logits.argmax(0).numpy()])


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_what_was_shown_slab_by_slab_is_what_the_run_returns(always, direction):
    volume, _ = phantom(direction)
    screen = Screen()
    result = segment.segment(volume, bundle(), Bright(), listener=screen)
    assert screen.boxes[0].shape == volume.shape  # the first covers everything
    slices = result.patches_total
    assert len(screen.boxes) == slices - 1  # the last comes with the final labels
    missing = screen.labels != result.labels
    axis = int(np.argmax(np.abs(direction[2])))
    last = 0 if direction[2, axis] < 0 else volume.shape[axis] - 1
    assert not np.delete(missing, last, axis).any()


def test_slabs_that_nobody_has_seen_are_shown_together(monkeypatch):
    monkeypatch.setattr("EfficientSegLib.live_slabs.PARTIAL_SECONDS", 1e9)
    volume, _ = phantom()
    screen = Screen()
    segment.segment(volume, bundle(), Bright(), listener=screen)
    assert [box.shape for box in screen.boxes] == [volume.shape]


def test_the_sliding_window_shows_its_labels_too(always):
    unet = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 3).eval()
    volume, _ = phantom()
    plain = bundle(
        network=Component("unet", {}),
        strategy=Component("sliding_window", {"patch_size": [16, 16, 16]}),
        preprocess=Preprocess("LPS", (1.5, 1.5, 1.0), Intensity("window", -1000.0, 1000.0)),
        outputs="exclusive",
    )
    assert sliding_window.LAZY
    screen = Screen()
    result = segment.segment(volume, plain, unet, listener=screen)
    assert len(screen.boxes) > 1 and screen.boxes[0].shape == volume.shape
    last = max(box.stop[2] for box in screen.boxes[1:])
    assert np.array_equal(screen.labels[:, :, :last], result.labels[:, :, :last])
    assert {stage for stage, *_ in screen.said} == {"prepare", "patches"} and result.unit == "patches"


def test_progress_counts_the_slices_and_says_how_long_it_will_take():
    screen = Screen()
    segment.segment(phantom()[0], bundle(), Bright(), options={"batch": 8}, listener=screen)
    slices = [item for item in screen.said if item[0] == "slices"]
    assert [(done, total) for _, _, done, total, _ in slices] == [(n, 40) for n in (8, 16, 24, 32, 40)]
    assert all(left > 0 for *_, left in slices[:-1]) and slices[-1][-1] < slices[0][-1]
    fractions = [fraction for _, fraction, *_ in screen.said]
    assert fractions == sorted(fractions)


def test_a_first_pass_is_a_stage_of_its_own_and_counts_for_half():
    screen = Screen()
    segment.segment(phantom()[0], bundle(), Bright(), options={"batch": 20, "position": "found"}, listener=screen)
    stages = [(stage, done) for stage, _, done, *_ in screen.said]
    assert stages == [("prepare", 0), ("extent", 20), ("extent", 40), ("slices", 20), ("slices", 40)]
    fractions = [fraction for _, fraction, *_ in screen.said]
    assert fractions == sorted(fractions) and fractions[2] == 0.5


def test_after_a_stop_what_was_read_is_kept_and_the_rest_is_background(always):
    volume, _ = phantom(DIRECTIONS["flipped"])
    everything = segment.segment(volume, bundle(), Bright()).labels
    screen = Screen(stop_after=12)
    result = segment.segment(volume, bundle(), Bright(), listener=screen)
    assert (result.complete, result.patches_read, result.patches_total) == (False, 12, 40)
    assert np.array_equal(result.labels[:, :, :12], everything[:, :, :12])
    assert result.labels[:, :, :12].any() and not result.labels[:, :, 12:].any()


def test_it_cannot_be_continued():
    volume, _ = phantom()
    done = segment.segment(volume, bundle(), Bright())
    assert done.reading is None
    with pytest.raises(ContinuationError):
        segment.segment(volume, bundle(), Bright(), earlier=done)


def test_only_the_largest_piece_stays_where_the_bundle_says_so():
    volume, truth = phantom()
    volume.array[0, 2:6, 2:6, 2:6] = 800
    assert segment.segment(volume, bundle(), Bright()).labels[4, 4, 4] == 7
    cleaned = segment.segment(volume, bundle(postprocess=Postprocess((7,))), Bright()).labels
    assert cleaned[4, 4, 4] == 0 and (cleaned[truth] == 7).mean() > 0.9


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"outputs": "exclusive"}, 'reads slices, and its outputs are called exclusive.*"outputs": "independent"'),
        ({"strategy": Component("sliding_window", {})}, "reads slices, and its strategy is 'sliding_window'"),
        ({"network": Component("unet", {})}, "reads volumes, and its strategy is 'slices'"),
        ({"network": Component("unet", {}), "outputs": "exclusive"}, "reads volumes, and its strategy is 'slices'"),
    ],
)
def test_a_network_that_does_not_fit_the_bundle_is_refused_before_its_weights_are_read(changes, words, monkeypatch):
    monkeypatch.setattr(networks, "check", lambda *_: None)
    volumes = changes.get("network", Component("segmate")).name == "unet"
    unet = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 3)
    monkeypatch.setattr(networks, "build", lambda *_: unet if volumes else tiny())
    with pytest.raises(BundleError, match=words):
        segment.load_model(bundle(**changes), "cpu")


def test_a_strategy_asked_for_that_does_not_fit_the_network_is_refused():
    with pytest.raises(OptionError, match="'sliding_window' cannot use this network"):
        segment.segment(phantom()[0], bundle(), Bright(), strategy="sliding_window")


def test_where_nobody_looks_nothing_is_shown():
    assert not LiveSlabs(bundle(), None, Listener(), "slices")._has_viewer
