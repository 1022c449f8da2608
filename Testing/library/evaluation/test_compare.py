"""Comparing methods: equal terms, nothing lost, nothing done twice, one failure no end."""

import json
from dataclasses import replace

import numpy as np
import pytest
from slice_bundle import write_slice_bundle
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.cases import EvaluationCase, read_folders
from EfficientSegLib.evaluation.compare import Method, bundle_checksum, compare
from EfficientSegLib.evaluation.label_files import LabelFiles, compare_files
from EfficientSegLib.evaluation.results import Results, read_rows
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.volume import Volume, read, write

NAMES = {1: "Ball", 2: "Cube"}
TIMES = {"seconds": None, "seconds_by_stage": "", "peak_memory_mb": None}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def cases(tmp_path):
    """Two volumes; their references are drawn, not predicted."""
    found = []
    for name, shape in (("a", (24, 24, 20)), ("b", (20, 28, 24))):
        image = write_tiny_ct(tmp_path / "images" / f"{name}.nii.gz", shape)
        labels = np.zeros(shape, dtype=np.uint8)
        labels[4:16, 4:16, 4:16], labels[8:12, 8:12, 8:12] = 1, 2
        label = tmp_path / "labels" / f"{name}.nii.gz"
        write(Volume(labels[None], image.spacing_mm, image.origin_mm, image.direction), label)
        found.append(EvaluationCase(name, tmp_path / "images" / f"{name}.nii.gz", label))
    return found


def without_times(rows):
    return [replace(row, **TIMES) for row in rows]


def test_every_method_meets_every_case_in_order_and_the_file_holds_what_was_returned(bundle, cases, tmp_path):
    methods = [Method("NMSW", bundle, options={"top_k": k}) for k in (2, 0)]
    methods.append(Method("SW", bundle, "sliding_window"))
    rows = compare(methods, cases, Results(tmp_path / "out" / "results.csv"))
    runs = list(dict.fromkeys((row.case, row.method, row.top_k) for row in rows))
    one_case = [("NMSW", 0), ("NMSW", 2), ("SW", None)]  # fewest patches first
    assert runs == [(case, *method) for case in "ab" for method in one_case]
    assert [row.label for row in rows] == ["Ball", "Cube"] * 6 and not any(row.error for row in rows)
    assert {row.patches_read for row in rows if row.top_k == 2} == {2}
    assert read_rows(tmp_path / "out" / "results.csv") == rows


def test_scores_are_those_of_the_segmentation(bundle, cases, tmp_path):
    row = compare([Method("x", bundle)], cases[:1], Results(tmp_path / "r.csv"))[0]
    labels = segment(read(cases[0].image), bundle, load_model(bundle, "cpu")).labels
    ours, theirs = labels == 1, read(cases[0].label).array[0] == 1
    assert row.dice == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()), abs=1e-6)
    assert row.prediction_ml == pytest.approx(ours.sum() * 8 / 1000) and row.reference_ml == pytest.approx(
        theirs.sum() * 8 / 1000
    )


def test_nothing_done_is_done_again(cases, tmp_path):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    first = compare([Method("x", bundle)], cases, Results(tmp_path / "r.csv"))
    bundle.weights_path.unlink()  # a run would fail
    assert compare([Method("x", bundle)], cases, Results(tmp_path / "r.csv")) == first


def test_other_options_weights_labels_or_terms_are_another_run(bundle, cases, tmp_path):
    results = Results(tmp_path / "r.csv")
    compare([Method("x", bundle)], cases[:1], results)

    def new_rows(*given, **terms):
        before = len(results.rows)
        compare(*given, results, **terms)
        return len(results.rows) - before

    assert new_rows([Method("x", bundle)], cases[:1]) == 0
    assert new_rows([Method("x", bundle, options={"top_k": 1})], cases[:1]) == 2
    assert new_rows([Method("x", write_tiny_bundle(tmp_path / "other", seed=1))], cases[:1]) == 2
    assert new_rows([Method("x", bundle)], cases[:1], tolerance_mm=4.0) == 2
    labels = read(cases[0].label)
    write(replace(labels, array=np.where(labels.array == 2, 1, labels.array)), cases[0].label)
    assert new_rows([Method("x", bundle)], cases[:1]) == 2


def test_an_interrupted_comparison_keeps_its_runs_and_ends_as_if_it_had_not_been(bundle, cases, tmp_path):
    methods = [Method("x", bundle, options={"top_k": k}) for k in (1, 3)]

    def interrupt(done, total, words):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(methods, cases, Results(tmp_path / "r.csv"), tell=interrupt)
    kept = read_rows(tmp_path / "r.csv")
    assert len(kept) == 6
    with open(tmp_path / "r.csv", "a", encoding="utf-8") as file:
        file.write("x,,tiny,cut o")  # the power went off in the middle of a line
    resumed = compare(methods, cases, Results(tmp_path / "r.csv"))
    assert resumed[:6] == kept
    assert without_times(resumed) == without_times(compare(methods, cases, Results(tmp_path / "whole.csv")))


def test_a_run_that_lost_a_label_is_run_again(bundle, cases, tmp_path):
    compare([Method("x", bundle)], cases[:1], Results(tmp_path / "r.csv"))
    lines = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "r.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    compare([Method("x", bundle)], cases[:1], Results(tmp_path / "r.csv"))
    assert [row.label for row in read_rows(tmp_path / "r.csv")] == ["Ball", "Cube"]


def test_a_failed_case_says_why_stops_no_other_and_is_tried_again(bundle, cases, tmp_path):
    whole = cases[0].image.read_bytes()
    cases[0].image.write_bytes(b"no image at all")
    rows = compare([Method("x", bundle)], cases, Results(tmp_path / "r.csv"))
    assert [(row.case, bool(row.error)) for row in rows] == [("a", True), ("b", False), ("b", False)]
    assert "a.nii.gz" in rows[0].error and rows[0].dice is None
    cases[0].image.write_bytes(whole)
    again = compare([Method("x", bundle)], cases, Results(tmp_path / "r.csv"))
    assert not any(row.error for row in again)
    assert not any(row.error for row in read_rows(tmp_path / "r.csv"))


def test_more_patches_than_there_are_fail_in_words_for_that_method_alone(bundle, cases, tmp_path):
    methods = [Method("x", bundle, options={"top_k": k, "clip_top_k": False}) for k in (500, 1, None)]
    rows = compare(methods, cases[:1], Results(tmp_path / "r.csv"))
    assert [bool(row.error) for row in rows] == [False, False, True, False, False] and "500" in rows[2].error


def test_image_and_label_on_different_grids_are_not_compared(bundle, cases, tmp_path):
    labels = read(cases[0].label)
    write(replace(labels, origin_mm=(0.0, 12.5, 700.0)), cases[0].label)
    rows = compare([Method("x", bundle)], cases[:1], Results(tmp_path / "r.csv"))
    assert "lie up to 15 voxels apart" in rows[0].error


def test_all_patches_with_full_trust_are_the_sliding_window(bundle, cases, tmp_path):
    everything = Method("NMSW", bundle, options={"top_k": None, "class_weights": "one"})
    rows = compare([everything, Method("SW", bundle, "sliding_window")], cases[:1], Results(tmp_path / "r.csv"))
    scores = [(row.dice, row.nsd, row.hd95_mm, row.patches_read) for row in rows]
    assert scores[:2] == scores[2:]
    assert rows[0].gmacs > rows[2].gmacs > 0  # by the overview


def test_cost_grows_by_the_same_for_every_patch(bundle, cases, tmp_path):
    methods = [Method("x", bundle, options={"top_k": k}) for k in (0, 1, 3)]
    none, one, three = (row.gmacs for row in compare(methods, cases[:1], Results(tmp_path / "r.csv"))[::2])
    assert three - none == pytest.approx(3 * (one - none), abs=3e-4) and one > none


@pytest.mark.parametrize("strategy", ["nmsw", "random_foreground"])
def test_a_series_reads_no_patch_twice_and_scores_as_runs_of_their_own(bundle, cases, tmp_path, strategy):
    methods = [Method("x", bundle, strategy, {"top_k": k}) for k in (1, 4)]
    together = compare(methods, cases[:1], Results(tmp_path / "together.csv"))
    apart = [row for method in methods for row in compare([method], cases[:1], Results(tmp_path / "apart.csv"))]
    assert without_times(together) == without_times(apart)
    few, more = (json.loads(row.seconds_by_stage) for row in together[::2])
    assert more["patches"] > few["patches"] and more["coarse"] >= few["coarse"]  # each holds what was read before it


def test_what_is_not_annotated_is_not_scored_and_a_map_translates(bundle, cases, tmp_path):
    swapped = replace(cases[0], map={1: 2, 2: 1})
    files = [LabelFiles("copy", cases[0].label.parent, NAMES)]
    rows = compare_files(files, [swapped], Results(tmp_path / "r.csv"))
    assert [row.dice for row in rows] == [0, 0]
    only = replace(cases[0], map={1: 1}, annotated=(1,))
    (row,) = compare([Method("x", bundle)], [only], Results(tmp_path / "r2.csv"))
    assert row.label == "Ball" and row.reference_ml == pytest.approx((12**3 - 4**3) * 8 / 1000)


def test_label_files_are_scored_on_the_same_terms_and_a_missing_one_fails(cases, tmp_path):
    folder = tmp_path / "others"
    labels = read(cases[0].label)
    write(replace(labels, array=labels.array.astype(np.float32)), folder / "a.nrrd")
    rows = compare_files([LabelFiles("tool", folder, NAMES)], cases, Results(tmp_path / "r.csv"))
    assert [(row.dice, row.nsd, row.hd95_mm) for row in rows[:2]] == [(1, 1, 0)] * 2
    assert len(rows) == 3 and "no file for case 'b'" in rows[2].error


def test_a_label_nobody_named_is_refused(cases, tmp_path):
    (row,) = compare_files([LabelFiles("x", cases[0].label.parent, {1: "Ball"})], cases[:1], Results(tmp_path / "r"))
    assert "holds label 2" in row.error and "Known are 1" in row.error


def test_wrong_options_are_told_before_anything_runs(bundle, cases, tmp_path):
    for given, words in (
        ([Method("x", bundle, options={"top": 3})], "Unknown option 'top'"),
        ([Method("x", bundle, "guessing")], "Unknown strategy 'guessing'"),
        ([Method("x", bundle), Method("x", bundle)], "'x' is given twice"),
    ):
        with pytest.raises(OptionError, match=words):
            compare(given, cases, Results(tmp_path / "r.csv"))
    with pytest.raises(OptionError, match="no image"):
        compare([Method("x", bundle)], read_folders(None, cases[0].label.parent), Results(tmp_path / "r.csv"))
    assert read_rows(tmp_path / "r.csv") == []


def test_another_table_is_not_written_over(tmp_path):
    (tmp_path / "r.csv").write_text("patient,diagnosis\n1,none\n")
    with pytest.raises(OptionError, match=r"r.csv is no table of results.*patient"):
        Results(tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "patient,diagnosis\n1,none\n"


def test_texts_do_not_change_the_identity_of_a_bundle_and_numbers_do(bundle):
    same = replace(bundle, title="Another", provenance={"by": "me"}, version="2")
    assert bundle_checksum(same) == bundle_checksum(bundle)
    other = replace(bundle, preprocess=replace(bundle.preprocess, spacing_mm=(1.0, 2.0, 2.0)))
    assert bundle_checksum(other) != bundle_checksum(bundle)


def test_stages_add_up_to_the_seconds(bundle, cases, tmp_path):
    row = compare([Method("x", bundle)], cases[:1], Results(tmp_path / "r.csv"))[0]
    assert sum(json.loads(row.seconds_by_stage).values()) == pytest.approx(row.seconds, abs=1e-3)
    assert row.peak_memory_mb > 0


def test_where_a_reference_overlaps_each_label_is_scored_by_itself(cases, tmp_path):
    """Value 2 lies in 1: as regions, the first is both of them."""
    bundle = write_slice_bundle(tmp_path / "slices")
    results, method = Results(tmp_path / "r.csv"), Method("x", bundle)
    regions = replace(cases[0], map={1: 1, 2: (1, 2)})
    plain, overlapping = (compare([method], [case], results) for case in (cases[0], regions))
    found = segment(read(cases[0].image), bundle, load_model(bundle, "cpu"), overlapping=True)
    drawn = read(cases[0].label).array[0]
    for index, value in enumerate((1, 2)):
        mask, true = found.masks.mask(index), drawn >= value
        assert overlapping[index].dice == pytest.approx(2 * (mask & true).sum() / (mask.sum() + true.sum()), abs=1e-6)
        assert overlapping[index].reference_ml == pytest.approx(true.sum() * 8 / 1000)
        shown, true = found.labels == value, drawn == value
        assert plain[index].dice == pytest.approx(2 * (shown & true).sum() / (shown.sum() + true.sum()), abs=1e-6)
    assert [row.label for row in overlapping] == ["Ball", "Cube"] and overlapping[0].source != plain[0].source
    assert compare([method], [cases[0]], results) == plain  # known, and not run again
    in_part = compare([method], [replace(regions, annotated=(2,))], results)
    assert [(row.value, row.dice) for row in in_part] == [(2, overlapping[1].dice)]
    only_one = replace(
        cases[0], map={1: (1,), 2: (1,)}, annotated=(1,)
    )  # nothing overlaps, but it is written as a list
    assert [row.dice for row in compare([method], [only_one], results)] == [overlapping[0].dice]


def test_a_region_that_the_bundle_does_not_know_is_refused(cases, tmp_path):
    bundle = write_slice_bundle(tmp_path / "slices")
    rows = compare([Method("x", bundle)], [replace(cases[0], map={1: 1, 2: (1, 5)})], Results(tmp_path / "r.csv"))
    assert "The reference holds label 5. Known are 1, 2." in rows[0].error


def test_what_has_one_label_in_each_voxel_is_not_compared_with_overlapping_ones(bundle, cases, tmp_path):
    regions = [replace(cases[0], map={1: 1, 2: (1, 2)}), cases[1]]
    rows = compare([Method("x", bundle)], regions, Results(tmp_path / "r.csv"))
    assert "labels of case 'a' overlap" in rows[0].error and not any(row.error for row in rows[1:])
    files = [LabelFiles("other", cases[0].label.parent, NAMES)]
    rows = compare_files(files, regions, Results(tmp_path / "r.csv"))
    assert "labels of case 'a' overlap" in rows[0].error and not any(row.error for row in rows[1:])
