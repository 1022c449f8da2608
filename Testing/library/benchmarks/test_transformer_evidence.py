"""The trainings behind the transformers' tables: comparable, on cases of their own, and all of them scored."""

import json
from pathlib import Path

import pytest
from benchmarks.evidence import transformer_configs as configs
from benchmarks.evidence import transformer_evaluate as evaluation
from benchmarks.evidence import transformer_report as report

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.evaluation.results import Row
from EfficientSegLib.networks import NETWORKS
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import read_config

SPLITS = Path(__file__).parents[2] / "benchmarks" / "results" / "splits.json"


@pytest.fixture(scope="module")
def splits():
    return json.loads(SPLITS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trainings(splits):
    return configs.trainings(splits)


def bundle(content):
    return read_options(Bundle, {"schema": 1, "weights": {"file": "w.pt", "sha256": ""}, **content["bundle"]})


def row(method, seed, case, dice, options="{}", **more):
    given = {"bundle": f"tokens-unetr-{seed}", "bundle_sha": "", "strategy": "sliding_window", "split": "test"}
    given |= {"source": "", "device": "cpu", "threads": 1, "tolerance_mm": 2.0, "value": 1, "label": "one"}
    return Row(method=method, seed=seed, case=case, dice=dice, options=options, **given, **more)


def test_every_training_is_one_that_the_library_accepts(trainings, tmp_path):
    for name in (name for name in trainings if name.endswith("-0")):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(trainings[name]), encoding="utf-8")
        assert read_config(path).template.name == name


def test_trainings_of_one_comparison_differ_in_the_network_and_its_learning_rate_alone(trainings):
    shared = {}
    for name, content in trainings.items():
        comparison, _, seed = name.split("-")
        assert content["seed"] == int(seed)
        local = content["bundle"]["network"]["options"]
        others = {key: value for key, value in content.items() if key not in ("bundle", "learning_rate", "seed")}
        others["bundle"] = {k: v for k, v in content["bundle"].items() if k not in ("name", "title", "network")}
        if comparison == "nmsw":
            others["network"] = {key: value for key, value in local.items() if not key.startswith("local_")}
        assert shared.setdefault((comparison, seed), others) == others


def test_no_test_case_is_trained_on_or_piloted_with(trainings, splits):
    tested = [configs.test_cases(splits, data) for data in (configs.TOKEN_DATA, configs.REGISTRY_DATA)]
    unseen = {case["image"] for cases in tested for case in cases}
    for content in trainings.values():
        tried = configs.pilot(content, 1.0, 1e-3)
        learned, held_out = ({case["image"] for case in tried[part]} for part in ("cases", "validation"))
        assert learned | held_out == {case["image"] for case in content["cases"]}
        assert not learned & held_out
        assert not unseen & (learned | held_out)


def test_every_comparison_is_between_lines_of_its_table_and_every_line_is_compared(trainings):
    run = {}
    for name, content in trainings.items():
        table = evaluation.TABLES[name.split("-")[0]][0]
        for method in evaluation.methods(name, bundle(content)):
            line = row(method.name, "0", "a", 0.5, json.dumps(method.options))
            run.setdefault(table, []).append(line)
    shown = set()
    for name, table in report.TABLES.items():
        lines = table.of(run[table.rows])
        compared = {choice for _, *choices in table.pairs() for choice in choices}
        assert compared <= {(line.method, line.top_k) for line in lines}, name
        assert {line.method for line in lines} == {method for method, _ in compared}, name
        shown |= {f"{line.method}: {table.way}" if table.way else line.method for line in lines}
    assert shown == {line.method for lines in run.values() for line in lines}


def test_a_table_of_one_way_names_the_networks_alone_and_leaves_out_the_other_ways():
    ways = [f"UNETR, dense: {way}" for way in (evaluation.AFRESH, evaluation.WITHIN, "NMSW")]
    rows = [row(method, "0", "a", dice) for method, dice in zip(ways, (0.5, 0.6, 0.7), strict=True)]
    assert [(line.method, line.dice) for line in report.TABLES["sweep"].of(rows)] == [("UNETR, dense", 0.5)]
    assert {line.method for line in report.TABLES["registry"].of(rows)} == set(ways)


def test_every_patch_model_of_the_registry_is_in_its_table():
    of_slices_or_whole_systems = {"segmate", "segmate_vanilla", "nmsw"}
    assert {net.network for net in configs.registry()} == set(NETWORKS) - of_slices_or_whole_systems


def test_a_line_has_the_mean_over_seeds_of_means_over_cases_and_seconds_of_the_quiet_machine():
    rows = [row("UNETR", "0", "a", 0.5, seconds=9.0), row("UNETR", "0", "b", 0.7), row("UNETR", "1", "a", 0.8)]
    quiet = [row("UNETR", "0", "a", 0.1, seconds=0.25, peak_memory_mb=700.0)]
    trained = {"tokens-unetr": report.Trained(6_610_000, (284, 301))}
    line = report.table(rows, quiet, trained).splitlines()[-1]
    assert line == "| UNETR | 2 | 6.6 M | 284-301 | 0.700 ± 0.141 | – | – | – | 0.25 | 700 |"


def test_a_seed_that_lacks_a_case_is_left_out():
    whole = [row("UNETR", "0", case, 0.5) for case in "ab"]
    half = [row("UNETR", "1", "a", 0.9), row("UNETR", "1", "b", None, error="It failed.")]
    assert report.complete([*whole, *half]) == whole


def test_kept_rows_give_the_same_table():
    rows = [row("U-Net: NMSW", "0", "a", 0.5, '{"overlap": 0.5, "top_k": null}', seconds=3.0)]
    slim = [report.slim(kept) for kept in rows]
    assert (slim[0].top_k, slim[0].seconds, slim[0].options) == ("all", None, '{"top_k": null}')
    assert report.table(slim, [], {}) == report.table(rows, [], {})


def test_differences_are_paired_by_seed():
    found = {"one": (0.8, 0.6), "other": (0.7, 0.4, 0.9)}
    rows = [row(method, str(seed), "a", dice) for method, values in found.items() for seed, dice in enumerate(values)]
    text = report.differences(rows, [("one against other", ("one", None), ("other", None))])
    assert "| one against other | – | +0.150 ± 0.071 | +0.100, +0.200 | 1 of 1 |" in text
    assert (text.count("Better in"), text.count("Larger in")) == (2, 1)  # a larger distance is no better one


def test_the_picture_has_a_line_for_each_number_of_patches(tmp_path):
    rows = [row("NMSW", "0", "a", 0.5, json.dumps({"top_k": count})) for count in (5, 30, 60)]
    heights = []
    for lines in (1, 3):
        report.dice_by_line(rows[:lines], tmp_path / "picture.png")
        heights.append(int.from_bytes((tmp_path / "picture.png").read_bytes()[20:24], "big"))
    assert heights[1] > heights[0]
