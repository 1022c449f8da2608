"""Cases: what is annotated, what is made by rule, what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

import phantoms
from EfficientSegLib.bundle import Crop, Intensity, Preprocess
from EfficientSegLib.errors import TrainingError, VolumeError
from EfficientSegLib.resampling import shrink_labels
from EfficientSegLib.training.body.chest import hollow, widen
from EfficientSegLib.training.body.lungs import lungs_by_rule
from EfficientSegLib.training.body.prepare import OUTSIDE, SHELL, prepare_case
from EfficientSegLib.training.cases import Case

RULE = Preprocess("RAS", (8.0, 8.0, 8.0), Intensity("window", -250, 500), Crop())
CHANNELS = {1: 1, 2: 2, 7: 3}
IMAGE, LABEL = "torso_0/image.nii.gz", "torso_0/label.nii.gz"


def drawn_chest():
    """A body with two lungs, a trachea between them, and bowel gas; 3 mm."""
    shape, spacing = (100, 70, 60), (3.0, 3.0, 3.0)

    def blob(x, y, z, a, b, c):
        return phantoms.Ellipsoid((x, y, z), (a, b, c)).mask(shape, spacing)

    hu = np.where(blob(150, 105, 90, 130, 85, 500), 40.0, -1000.0)
    left, right = blob(85, 105, 110, 38, 50, 70), blob(215, 105, 110, 38, 50, 70)
    hu[left | right] = -800
    hu[blob(150, 115, 150, 8, 8, 40)] = -1000
    hu[blob(150, 140, 20, 15, 15, 12)] = -900
    return hu, left, right, spacing


def test_a_case_on_the_grid_of_the_bundle_is_read_as_it_is(data_folder):
    case = prepare_case(Case(IMAGE, LABEL, {"1": 1, "2": 2, "3": 7}), RULE, CHANNELS, data_folder, 0)
    hu, labels = phantoms.torso((40, 32, 28), 0, (8.0, 8.0, 8.0))
    np.testing.assert_array_equal(case.hu.numpy(), hu)
    target = case.values[case.source.long()].numpy()
    np.testing.assert_array_equal(target, labels)
    assert case.annotated.all()


def test_another_orientation_on_disk_is_the_same_case(data_folder, tmp_path):
    import SimpleITK as sitk

    for name in ("image", "label"):
        turned = sitk.DICOMOrient(sitk.ReadImage(str(data_folder / f"torso_0/{name}.nii.gz")), "SPL")
        sitk.WriteImage(turned, str(tmp_path / f"{name}.nii.gz"))
    case = Case("image.nii.gz", "label.nii.gz", {"1": 1})
    turned = prepare_case(case, RULE, CHANNELS, tmp_path, 0)
    plain = prepare_case(Case(IMAGE, LABEL, {"1": 1}), RULE, CHANNELS, data_folder, 0)
    assert torch.equal(turned.hu, plain.hu)
    assert torch.equal(turned.source, plain.source)


def test_only_what_is_said_to_be_complete_counts_as_annotated(data_folder):
    case = prepare_case(Case(IMAGE, LABEL, {"1": 1, "3": 7}, annotated=(1, 7)), RULE, CHANNELS, data_folder, 0)
    assert case.annotated.tolist() == [False, True, False, True]


def test_the_air_around_the_body_is_known_and_is_background(data_folder):
    case = prepare_case(Case(IMAGE, LABEL, {"1": 1}), RULE, CHANNELS, data_folder, 0)
    outside = case.source == OUTSIDE
    assert outside[0].all()
    assert not outside[20, 16].any()
    assert case.values[OUTSIDE] == 0


def test_a_shell_is_the_outer_part_of_its_organ(data_folder):
    plain = prepare_case(Case(IMAGE, LABEL, {"1": 1}), RULE, CHANNELS, data_folder, 0)
    shelled = prepare_case(Case(IMAGE, LABEL, {"1": 1}, shells=(1,)), RULE, CHANNELS, data_folder, 0)
    core, shell = shelled.source == 1, shelled.source == 1 + SHELL
    assert torch.equal(core | shell, plain.source == 1)
    assert shell.any()
    assert shelled.values[1 + SHELL] == shelled.values[1]


def test_a_label_that_the_bundle_lacks_is_refused(data_folder):
    with pytest.raises(TrainingError, match="maps 1 to 99"):
        prepare_case(Case(IMAGE, LABEL, {"1": 99}), RULE, CHANNELS, data_folder, 0)


def test_a_missing_image_is_named(data_folder):
    with pytest.raises(VolumeError, match="nowhere"):
        prepare_case(Case("nowhere.nii.gz"), RULE, CHANNELS, data_folder, 0)


def test_the_lung_rule_finds_both_lungs_on_their_sides_without_the_airways():
    hu, left, right, spacing = drawn_chest()
    found_left, found_right = lungs_by_rule(hu, spacing)
    for found, truth in ((found_left, left), (found_right, right)):
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95
    assert not (found_left | found_right)[50, :, 50].any()  # trachea
    assert not (found_left | found_right)[:, :, :10].any()  # bowel gas


def test_lungs_that_touch_are_parted_at_the_middle():
    hu, left, right, spacing = drawn_chest()
    hu[35:65, 34:37, 34:40] = -800
    found_left, found_right = lungs_by_rule(hu, spacing)
    assert 2 * (found_left & left).sum() / (found_left.sum() + left.sum()) > 0.9
    assert 2 * (found_right & right).sum() / (found_right.sum() + right.sum()) > 0.9


def test_a_widened_chest_keeps_its_middle_and_is_closed_all_around():
    hu, left, right, spacing = drawn_chest()
    crop = slice(30, 70)
    labels = (left | right).astype(np.int32)
    wide, grown = widen(hu[crop], labels[crop], spacing, np.random.default_rng(0))
    side = (wide.shape[0] - 40) // 2
    back = wide.shape[1] - hu.shape[1]
    np.testing.assert_array_equal(wide[side : side + 40, back:], hu[crop].astype(np.float32))
    np.testing.assert_array_equal(grown[side : side + 40, back:], labels[crop])
    assert grown.sum() == labels[crop].sum()
    found_left, found_right = lungs_by_rule(wide, spacing)
    assert found_left.any()
    assert found_right.any()
    assert (wide[[0, -1]] < -700).all()


def test_a_hollow_trunk_keeps_what_is_to_stay_and_draws_all_else_inside():
    hu, _, _, spacing = drawn_chest()
    body = phantoms.Ellipsoid((150, 105, 90), (130, 85, 500)).mask(hu.shape, spacing)
    hu[body] = 40
    spine = np.zeros(hu.shape, dtype=bool)
    spine[45:55, 15:25] = True
    hu[spine] = 300
    drawn = hollow(hu, spine, body, spacing, np.random.default_rng(0))
    new = drawn.left | drawn.right | drawn.heart
    np.testing.assert_array_equal(drawn.hu[~new], hu[~new].astype(np.float32))
    assert not (new & spine).any()
    assert (new & body).sum() == new.sum() > 0.4 * body.sum()
    assert np.median(drawn.hu[drawn.left]) < -700
    assert np.median(drawn.hu[drawn.heart]) > 0
    assert np.argwhere(drawn.left)[:, 0].max() < 50 <= np.argwhere(drawn.right)[:, 0].min()


def test_only_the_wanted_slices_of_a_case_are_used(data_folder):
    upper = prepare_case(Case(IMAGE, LABEL, {"1": 1}, slices=(0.5, 1.0)), RULE, CHANNELS, data_folder, 0)
    plain = prepare_case(Case(IMAGE, LABEL, {"1": 1}), RULE, CHANNELS, data_folder, 0)
    assert torch.equal(upper.hu, plain.hu[..., 14:])


def test_a_case_with_a_drawn_chest_knows_its_lungs(data_folder):
    case = Case(IMAGE, LABEL, {"3": 7}, hollow=(3,), lungs=(1, 2))
    drawn = prepare_case(case, RULE, CHANNELS, data_folder, 0)
    target = drawn.values[drawn.source.long()]
    assert {1, 2, 3} <= set(torch.unique(target).tolist())
    plain = prepare_case(Case(IMAGE, LABEL, {"3": 7}), RULE, CHANNELS, data_folder, 0)
    assert torch.equal(drawn.source == 3, plain.source == 3)


def test_shrinking_labels_takes_the_majority_of_each_block():
    labels = torch.zeros(4, 4, 4, dtype=torch.uint8)
    labels[:2, :2, :2] = 3
    labels[0, 0, 0] = 5
    labels[2:, 2:, 2:] = 7
    small = shrink_labels(labels, (2, 2, 2))
    assert small.dtype == torch.uint8
    assert small[0, 0, 0] == 3
    assert small[1, 1, 1] == 7
    assert small.sum() == 10


def test_a_case_is_a_value_that_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Case("image").weight = 2
