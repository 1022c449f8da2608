"""The drawn torso: the truth it claims, and the data set it is written as."""

import json
from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk
from benchmarks.torso.dataset import write_dataset
from benchmarks.torso.draw import draw
from benchmarks.torso.fields import grain, smooth_field
from benchmarks.torso.shapes import curve, ellipsoid, segment
from benchmarks.torso.tissues import EVEN, LABELS, NAMES

SEEDS = range(6)  # no contrast, arterial (3) and portal venous (4) phase among them
# Adult organs in ml, generous; lungs, aorta, vertebrae and ribs as far as they lie in 384 mm from the pelvis upwards.
RANGES_ML = {
    "liver": (750, 2000),
    "spleen": (80, 350),
    "kidney_right": (80, 230),
    "kidney_left": (80, 230),
    "stomach": (120, 600),
    "gallbladder": (8, 60),
    "pancreas": (25, 110),
    "urinary_bladder": (30, 350),
    "lung_right": (500, 2000),
    "lung_left": (500, 2000),
    "oesophagus": (8, 40),
    "aorta": (40, 200),
    "vena_cava": (40, 180),
    "bile_duct": (0.2, 3.5),
    "adrenal_right": (1.5, 9),
    "adrenal_left": (1.5, 9),
    "ureters": (2, 12),
    "vertebrae": (220, 550),
    "ribs": (100, 320),
}


@pytest.fixture(scope="module")
def coarse():
    return [draw(seed, 64) for seed in SEEDS]


@pytest.fixture(scope="module")
def quiet():
    """Without noise, in each contrast phase: none, arterial, portal venous."""
    return [draw(seed, 96, noise_hu=0) for seed in (0, 3, 4)]


@pytest.fixture(scope="module")
def fine():
    return draw(4, 128, noise_hu=0)


def inner(mask):
    """Voxels whose six neighbours are inside too."""
    inside = mask.copy()
    for axis in range(3):
        inside &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return inside


def test_the_same_seed_draws_the_same_case_and_another_seed_another(coarse):
    again = draw(3, 64)
    np.testing.assert_array_equal(again.image, coarse[3].image)
    np.testing.assert_array_equal(again.labels, coarse[3].labels)
    for one, other in pairwise(coarse):
        assert (one.labels != other.labels).mean() > 0.02
        assert (one.image != other.image).mean() > 0.5


def test_every_label_is_in_every_case(coarse):
    for drawing in coarse:
        assert all(drawing.voxels().values()), drawing.voxels()
        assert drawing.labels.max() == len(NAMES) - 1


def test_organs_are_as_large_as_in_people(coarse):
    for drawing in coarse:
        for name, ml in drawing.ml().items():
            if name != "background":
                low, high = RANGES_ML[name]
                assert low <= ml <= high, (name, ml)


def test_labels_span_three_orders_of_magnitude(quiet):
    voxels = {name: np.mean([drawing.voxels()[name] for drawing in quiet]) for name in NAMES[1:]}
    assert max(voxels.values()) / min(voxels.values()) > 1000


def test_people_differ_in_size_place_and_contrast(coarse):
    liver = [drawing.ml()["liver"] for drawing in coarse]
    kidney = [np.argwhere(drawing.labels == LABELS["kidney_left"]).mean(0) * 6 for drawing in coarse]
    assert max(liver) / min(liver) > 1.2
    assert np.std(kidney, axis=0).min() > 3  # mm
    assert {round(drawing.tissues.contrast) for drawing in coarse} == {0, 1, 2}


def test_one_person_is_the_same_at_any_resolution(quiet, fine):
    for name, ml in quiet[2].ml().items():
        if ml > 20:
            assert fine.ml()[name] == pytest.approx(ml, rel=0.03), name


def test_even_organs_have_the_declared_hu(quiet):
    for drawing in quiet:
        for name, tissue in EVEN.items():
            values = drawing.image[inner(drawing.labels == LABELS[name])]
            assert np.median(values) == pytest.approx(drawing.tissues[tissue], abs=15), (name, tissue)


def test_lungs_are_air_and_bones_are_bright(quiet):
    for drawing in quiet:
        for name in ("lung_right", "lung_left"):
            assert np.median(drawing.image[drawing.labels == LABELS[name]]) < -700
        for name in ("vertebrae", "ribs"):
            assert np.median(drawing.image[drawing.labels == LABELS[name]]) > 130
        assert (drawing.image[0, 0] < -900).all()


def test_without_contrast_neither_pancreas_nor_adrenals_stand_out_from_gut_and_muscle(quiet):
    plain, _, portal = (drawing.tissues for drawing in quiet)
    assert abs(plain["pancreas"] - plain["gut_wall"]) < 18
    assert abs(plain["ureter"] - plain["vein"]) < 30
    assert portal["aorta"] - portal["muscle"] > 60


def test_right_is_right_and_up_is_up(coarse):
    """Axes grow to the right, to the front and upwards."""
    for drawing in coarse:
        middle = {name: np.argwhere(drawing.labels == value).mean(0) for name, value in LABELS.items()}
        assert middle["liver"][0] > middle["spleen"][0]
        for pair in ("kidney", "lung", "adrenal"):
            assert middle[f"{pair}_right"][0] > middle[f"{pair}_left"][0]
        assert middle["vena_cava"][0] > middle["aorta"][0]
        assert middle["stomach"][1] > middle["vertebrae"][1]
        assert middle["lung_right"][2] > middle["liver"][2] > middle["urinary_bladder"][2]
        assert middle["adrenal_left"][2] > middle["kidney_left"][2]


def test_thin_labels_drown_in_coarse_cells_and_large_ones_do_not(fine):
    """The share of each label that lies in cells of 9 mm where it is the minority."""
    labels = fine.labels[:126, :126, :126]

    def lost(name):
        cells = (labels == LABELS[name]).reshape(42, 3, 42, 3, 42, 3).mean((1, 3, 5))
        return 1 - cells[cells > 0.5].sum() / cells.sum()

    assert lost("liver") < 0.08
    for name in ("adrenal_right", "adrenal_left", "ureters", "bile_duct"):
        assert lost(name) > 0.5, name


def test_noise_is_as_strong_as_asked_and_alike_in_neighbours():
    noise = grain((48, 48, 48), np.random.default_rng(0))
    assert noise.std() == pytest.approx(1, abs=1e-4) and abs(noise.mean()) < 0.02
    beside = [np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1], (noise[:, :, 1:] * noise[:, :, :-1]).mean()]
    assert 0.2 < beside[0] < 0.8 and 0 < beside[1] < beside[0]


def test_noise_leaves_the_truth_alone(coarse, quiet):
    clean = draw(0, 64, noise_hu=0)
    np.testing.assert_array_equal(clean.labels, coarse[0].labels)
    difference = coarse[0].image[coarse[0].labels == LABELS["liver"]] - clean.image[clean.labels == LABELS["liver"]]
    assert 8 < difference.std() < 26


def test_a_smooth_field_is_the_same_field_on_a_finer_grid():
    axes = [(np.arange(n) + 0.5) * 60 / n for n in (12, 36)]
    coarse_field, fine_field = (smooth_field((axis,) * 3, 12.0, np.random.default_rng(1)) for axis in axes)
    np.testing.assert_allclose(fine_field[1::3, 1::3, 1::3], coarse_field, atol=1e-5)
    assert fine_field.std() == pytest.approx(1, abs=0.35)


def test_distances_to_a_ball_and_a_capsule_are_exact():
    points = tuple(np.random.default_rng(2).uniform(-20, 20, (3, 50)).astype(np.float32))
    ball = np.linalg.norm(np.stack(points), axis=0) - 8
    np.testing.assert_allclose(ellipsoid(points, (0, 0, 0), (8, 8, 8)), ball, atol=1e-4)
    np.testing.assert_allclose(segment(points, (0, 0, 0, 8), (0, 0, 1e-6, 8)), ball, atol=1e-4)
    on_axis = tuple(np.array([value], np.float32) for value in (5.0, 3.0, 0.0))
    assert segment(on_axis, (0, 0, 0, 1), (10, 0, 0, 2)) == pytest.approx(3 - 1.5)


def test_a_curve_goes_through_its_control_points():
    controls = np.array([[0, 0, 0, 1], [5, 2, 1, 2], [9, 9, 9, 1], [0, 4, 20, 3.0]])
    for control in controls:
        assert np.abs(curve(controls) - control).sum(1).min() < 1e-9


@pytest.mark.parametrize("wrong, words", [({"size": 20}, "size is 20.*48"), ({"noise_hu": -1.0}, "noise_hu is -1.0")])
def test_a_wrong_argument_is_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        draw(0, **{"size": 64, **wrong})


def test_the_data_set_is_in_nnunet_form_and_lies_as_declared(tmp_path):
    folder = tmp_path / "Däta set"
    write_dataset(folder, cases=1, test_cases=1, seed=3, size=48)
    head = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert head == {"channel_names": {"0": "CT"}, "labels": LABELS, "numTraining": 1, "file_ending": ".nii.gz"}
    assert [path.name for path in (folder / "imagesTs").iterdir()] == ["torso_test_000_0000.nii.gz"]
    image = sitk.ReadImage(str(folder / "imagesTr" / "torso_000_0000.nii.gz"))
    label = sitk.ReadImage(str(folder / "labelsTr" / "torso_000.nii.gz"))
    drawing = draw(3000, 48)
    for written, array in ((image, drawing.image), (label, drawing.labels)):
        assert written.GetPixelID() == sitk.sitkInt16
        assert written.GetSpacing() == pytest.approx((8.0,) * 3)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(written).transpose(2, 1, 0), array)
        # ITK's points are LPS: the first voxel is leftmost, hindmost and lowest.
        assert written.TransformIndexToPhysicalPoint((0, 0, 0)) == pytest.approx((188, 188, 4))
        assert written.TransformIndexToPhysicalPoint((47, 47, 47)) == pytest.approx((-188, -188, 380))
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert truth["torso_000"]["seed"] == 3000 and truth["torso_000"]["ml"] == drawing.ml()
    with pytest.raises(FileExistsError, match="already holds"):
        write_dataset(folder, cases=1, size=48)
