"""Overlapping labels: one bit each, back on the input's axes, in few layers, and in a file that readers understand."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from slice_model import tiny

from EfficientSegLib import strategies
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Postprocess, Preprocess, Weights
from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.geometry import whole
from EfficientSegLib.overlaps import Masks
from EfficientSegLib.preprocess import orient_back, prepare
from EfficientSegLib.segment import segment
from EfficientSegLib.volume import Volume, write_overlapping

NAMES = ("lung", "liver", "vessel", "tumour")


def random_masks(count=11, shape=(5, 6, 40), share=0.2, seed=0):
    present = np.random.default_rng(seed).random((count, *shape)) < share
    masks = Masks(count, shape)
    masks.mark(whole(shape).slices(), present)
    return masks, present


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_every_label_keeps_its_own_voxels_in_a_bit_each(count):
    masks, present = random_masks(count)
    assert masks._bits.nbytes == -(-count // 8) * 5 * 6 * 40
    for label in range(count):
        assert np.array_equal(masks.mask(label), present[label])
    assert np.array_equal(masks.any_of(range(count)), present.any(0))
    assert np.array_equal(masks.any_of([count - 1]), present[count - 1])


def test_a_box_is_marked_alone_and_one_value_fills_it():
    masks = Masks(3, (4, 4, 4))
    masks.mark((slice(1, 3), slice(0, 4), slice(2, 3)), np.array([True, False, True])[:, None, None, None])
    assert masks.mask(0).sum() == masks.mask(2).sum() == 8 and not masks.mask(1).any()
    assert masks.mask(0)[1:3, :, 2].all()


def test_a_label_is_replaced_and_the_others_stay():
    masks, present = random_masks()
    new = ~present[9]
    masks.replace(9, new)
    for label in range(11):
        assert np.array_equal(masks.mask(label), new if label == 9 else present[label])


def test_labels_are_turned_back_like_a_label_map():
    masks, present = random_masks()
    axes, flips = (2, 0, 1), (True, False, True)
    turned = masks.turned_back(axes, flips)
    assert turned.shape == orient_back(present[0], axes, flips).shape
    for label in range(11):
        assert np.array_equal(turned.mask(label), orient_back(present[label], axes, flips))


def test_within_a_layer_no_voxel_has_two_labels():
    masks, present = random_masks(share=0.01)
    groups = masks.layers(range(11))
    assert sorted(label for group in groups for label in group) == list(range(11))
    assert 1 < len(groups) < 11
    for group in groups:
        assert present[group].sum(0).max() <= 1


def test_labels_that_do_not_overlap_share_one_layer():
    masks = Masks(4, (4, 1, 1))
    masks.mark(whole((4, 1, 1)).slices(), np.eye(4, dtype=bool).reshape(4, 4, 1, 1))
    assert masks.layers(range(4)) == [[0, 1, 2, 3]]
    assert masks.layers([]) == []


def bundle(**changes) -> Bundle:
    values = {
        "schema": 1,
        "name": "slices",
        "version": "1",
        "title": "Test",
        "modality": "CT",
        "channels": ("CT",),
        "labels": tuple(
            Label(3 * value, name, (value, 0, 0), auxiliary=name == "vessel") for value, name in enumerate(NAMES, 1)
        ),
        "preprocess": Preprocess("RAS", (1.5, 1.5, 5.0), Intensity("window", -1000.0, 1000.0), native_slices=True),
        "network": Component("segmate", {}),
        "strategy": Component("slices", {}),
        "weights": Weights("weights.pt", "0"),
        "licence": Licence("none", "none", "tests"),
        "outputs": "independent",
    }
    return Bundle(**{**values, **changes})


def scan(direction=None, shape=(22, 18, 9), spacing=(1.5, 1.5, 2.0)):
    array = np.random.default_rng(0).integers(-1000, 1000, (1, *shape)).astype(np.int16)
    direction = np.eye(3)[:, [2, 0, 1]] * (1, -1, 1) if direction is None else direction
    return Volume(array, spacing, (1.0, 2.0, 3.0), tuple(map(tuple, direction)))


def patchy():
    """A network whose labels come in many pieces, overlap, and leave some voxels free."""
    model = tiny(labels=4)
    model.last.weight.data -= model.last.weight.data.mean((1, 2, 3), keepdim=True)
    model.last.bias.data.zero_()
    for parameter in model.shift.parameters():
        parameter.data.zero_()
    return model


def above_one_half(volume, what, model):
    """Masks (labels, I, J, K) by a plain pass over all slices, where the grids agree."""
    prepared = prepare(volume, what.preprocess)
    module = strategies.module("slices")
    with torch.inference_mode():
        field = module.predict(torch.from_numpy(prepared.array), model, module.Options()).logits
        logits = field.region(whole(field.shape))
    return np.stack([orient_back((channel > 0).numpy(), prepared.axes, prepared.flips) for channel in logits[1:]])


def test_a_run_tells_every_label_that_is_more_likely_than_not():
    volume, model, what = scan(np.diag([1.0, -1.0, 1.0])), patchy(), bundle()
    result = segment(volume, what, model, overlapping=True)
    expected = above_one_half(volume, what, model)
    assert (expected.sum(0) > 1).any() and (expected.sum(0) == 0).any()
    for label in range(4):
        assert np.array_equal(result.masks.mask(label), expected[label])
    # The label map shows one of them, and background only where there is none.
    value = np.array([label.value for label in what.labels])
    shown = result.labels != 0
    assert np.array_equal(shown, np.isin(result.labels, value)) and not (shown & ~expected.any(0)).any()
    plain = segment(volume, what, model)
    assert plain.masks is None and np.array_equal(plain.labels, result.labels)


def test_between_pixels_each_label_is_interpolated_by_itself():
    volume, model = scan(spacing=(1.5, 0.9, 1.1)), patchy()
    result = segment(volume, bundle(), model, overlapping=True)
    value = {label.value: index for index, label in enumerate(bundle().labels)}
    for found in np.unique(result.labels[result.labels > 0]):
        assert result.masks.mask(value[found])[result.labels == found].all()


def test_largest_pieces_are_kept_label_by_label():
    volume, model = scan(np.diag([1.0, -1.0, 1.0])), patchy()
    raw = segment(volume, bundle(), model, overlapping=True).masks.mask(0)
    cleaned = segment(volume, bundle(postprocess=Postprocess((3,))), model, overlapping=True).masks
    pieces = sitk.GetArrayFromImage(
        sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(raw.astype(np.uint8))))
    )
    assert pieces.max() > 1 and np.array_equal(cleaned.mask(0), pieces == 1)


def test_exclusive_outputs_have_no_overlapping_segments():
    with pytest.raises(OptionError, match="no overlapping segments.*one label"):
        segment(scan(), bundle(outputs="exclusive"), tiny(labels=4), overlapping=True)


def written(masks, volume, path):
    """Voxels (layers, I, J, K) and header of the file, as a plain reader finds them."""
    write_overlapping(masks, volume, bundle().labels, path)
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    voxels = array[None] if image.GetNumberOfComponentsPerPixel() == 1 else np.moveaxis(array, -1, 0)
    head = path.read_bytes().partition(b"\n\n")[0].decode().splitlines()[1:]
    return voxels.transpose(0, 3, 2, 1), dict(line.split(":=" if ":=" in line else ": ", 1) for line in head), image


def test_every_segment_is_read_back_from_its_layer_where_the_image_lies(tmp_path):
    volume = scan()
    masks, present = random_masks(4, volume.shape, share=0.3)
    voxels, head, image = written(masks, volume, tmp_path / "a.seg.nrrd")
    assert head["kinds"] == "list domain domain domain" and head["sizes"] == "3 22 18 9"
    assert head["space directions"].startswith("none (")
    shown = [0, 1, 3]  # the auxiliary label is no segment
    for index, label in enumerate(shown):
        layer, value = int(head[f"Segment{index}_Layer"]), int(head[f"Segment{index}_LabelValue"])
        assert (head[f"Segment{index}_Name"], value) == (NAMES[label], 3 * (label + 1))
        assert np.array_equal(voxels[layer] == value, present[label])
    assert "Segment3_Name" not in head
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((4, 3, 2)), (volume.affine @ (4, 3, 2, 1))[:3])


def test_segments_that_do_not_overlap_are_an_ordinary_label_map(tmp_path):
    volume = scan()
    labels = np.random.default_rng(1).integers(0, 3, volume.shape)
    masks = Masks(4, volume.shape)
    masks.mark(whole(volume.shape).slices(), np.stack([labels == 1, labels == 2, labels < 0, labels < 0]))
    voxels, head, _ = written(masks, volume, tmp_path / "a.seg.nrrd")
    assert head["dimension"] == "3" and np.array_equal(voxels[0], np.array([0, 3, 6])[labels])
    assert {head[f"Segment{index}_Layer"] for index in range(3)} == {"0"}


def test_masks_of_another_grid_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="shape"):
        write_overlapping(Masks(4, (2, 2, 2)), scan(), bundle().labels, tmp_path / "a.seg.nrrd")
