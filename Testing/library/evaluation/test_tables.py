"""Summaries worked out by hand, and pictures that show what they say."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation import curves, tables
from EfficientSegLib.evaluation.results import Row

ROW = Row(
    method="NMSW",
    seed="",
    bundle="b",
    bundle_sha="1",
    strategy="nmsw",
    options='{"top_k": 5}',
    case="a",
    split="",
    source="s",
    device="cpu",
    threads=1,
    tolerance_mm=2.0,
    value=1,
    label="Liver",
    dice=0.5,
    nsd=0.5,
    hd95_mm=4.0,
    prediction_ml=10.0,
    reference_ml=20.0,
    patches_read=5,
    candidates=40,
    seconds=2.0,
)


def row(dice, **changes):
    return replace(ROW, dice=dice, **changes)


def test_labels_are_averaged_within_a_case_and_cases_among_each_other():
    rows = [row(0.2), row(0.4, value=2, label="Spleen"), row(0.9, case="b")]
    (summary,) = tables.summarise(rows)
    assert summary.dice.mean == pytest.approx((0.3 + 0.9) / 2)
    assert summary.dice.deviation == pytest.approx(np.std([0.3, 0.9], ddof=1))
    assert (summary.cases, summary.seeds, summary.top_k) == (2, 1, 5)


def test_seeds_give_the_spread_where_there_are_several():
    rows = [row(d, seed=s, case=c) for s, c, d in (("1", "a", 0.1), ("1", "b", 0.9), ("2", "a", 0.5), ("2", "b", 0.7))]
    (summary,) = tables.summarise(rows)
    assert summary.dice.mean == pytest.approx(0.55)
    assert summary.dice.deviation == pytest.approx(np.std([0.5, 0.6], ddof=1)) and summary.seeds == 2


def test_what_does_not_count_is_left_out_and_what_was_lost_is_counted():
    empty = row(None, nsd=None, hd95_mm=None, prediction_ml=0.0, reference_ml=0.0, value=2, label="Spleen")
    lost = row(0.0, prediction_ml=0.0, value=3, label="Aorta")
    failed = replace(ROW, case="b", value=None, label="", dice=None, error="It broke. So. Mend.")
    (summary,) = tables.summarise([row(0.8), empty, lost, failed])
    assert summary.dice.mean == pytest.approx(0.4) and summary.dice.deviation is None
    assert (summary.one_sided, summary.failed, summary.cases) == (1, 1, 1)
    said = tables.markdown([row(0.8), empty, lost, failed])
    assert "NMSW, K = 5, b: It broke." in said and "| One-sided | Failed |" in said


def test_lines_stand_in_order_of_mention_and_of_patches():
    options = ['{"top_k": null}', '{"top_k": 30}', '{"top_k": 5}']
    rows = [row(0.5, method="Window", options="{}"), *(row(0.5, options=text) for text in options)]
    found = [(summary.method, summary.top_k) for summary in tables.summarise(rows)]
    assert found == [("Window", None), ("NMSW", 5), ("NMSW", 30), ("NMSW", "all")]


@pytest.mark.parametrize("labels", [2, 5])
def test_every_label_of_every_method_stands_in_the_table_whichever_way_it_lies(labels):
    rows = [
        row(0.01 * (10 * m + v), method=f"M{m}", value=v, label=f"L{v}") for m in range(3) for v in range(1, labels + 1)
    ]
    by_label = tables.markdown(rows).split("## Dice by label")[1]
    cells = {cell.strip() for cell in by_label.replace("\n", "").split("|")}
    assert cells >= {f"{one.dice:.3f}" for one in rows} | {f"L{v}" for v in range(1, labels + 1)} | {"M2 (K = 5)"}


def test_files_hold_what_the_table_says(tmp_path):
    paths = tables.write([row(0.25), row(0.75, case="b")], tmp_path)
    assert "0.500 ± 0.354" in paths[0].read_text(encoding="utf-8")
    with open(paths[1], encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["method"] == "NMSW" and float(line["dice"]) == 0.5 and float(line["dice_deviation"]) == 0.353553
    assert line["gmacs"] == "" and line["top_k"] == "5"


def pixels(path, color):
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    image = imread(path)[..., :3]
    return np.argwhere(np.abs(image - to_rgb(color)).max(-1) < 0.02)


def test_better_lines_are_higher_and_methods_have_their_colours(tmp_path):
    numbers = (1, 5, 20)
    rows = [row(0.5 + k / 100, options=f'{{"top_k": {k}}}') for k in numbers]
    rows += [row(0.3 + k / 100, method="Other", options=f'{{"top_k": {k}}}') for k in numbers]
    rows += [row(0.9, method="Window", options="{}")]
    curves.by_patches(rows, tmp_path / "k.png")
    below_legend = [pixels(tmp_path / "k.png", color) for color in curves.COLORS[:3]]
    heights = [np.median(found[found[:, 0] > 60, 0]) for found in below_legend]
    assert heights[2] < heights[0] < heights[1]  # rows of a picture count downwards


def test_bars_are_as_long_as_their_dice(tmp_path):
    rows = [row(0.25), row(0.75, method="Other")]
    curves.by_label(rows, tmp_path / "l.png")
    spans = [pixels(tmp_path / "l.png", color) for color in curves.COLORS[:2]]
    widths = [np.ptp(found[found[:, 0] > 90, 1]) for found in spans]
    assert widths[1] / widths[0] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("draw", [curves.by_patches, curves.by_label])
def test_nothing_to_draw_leaves_an_older_picture(tmp_path, draw):
    (tmp_path / "x.png").write_bytes(b"older")
    with pytest.raises(OptionError, match="nothing to draw"):
        draw([replace(ROW, dice=None, error="It broke.")], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes() == b"older"
