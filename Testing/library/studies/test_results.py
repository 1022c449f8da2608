"""The table of results: a row per case, whatever became of it."""

import csv
import io

from EfficientSegLib.studies import results
from EfficientSegLib.studies.case import Entry

ENTRIES = [
    Entry("Jöhn/ct, late", "/in/1", "done", 12.34, {"Liver": 1500.04, "Spleen": 0.0}, ("No air.", "Thick slices.")),
    Entry(
        "b|c", "/in/2", "failed", 0.5, what="It is MR.", why="The bundle reads CT.", mend="Choose a CT.", machine="m2"
    ),
    Entry("d", "/in/3"),
]


def test_csv_gives_every_case_one_row_and_volumes_by_structure():
    rows = list(csv.DictReader(io.StringIO(results.csv_text(ENTRIES))))
    assert [row["case"] for row in rows] == ["Jöhn/ct, late", "b|c", "d"]
    assert (rows[0]["Liver (ml)"], rows[0]["Spleen (ml)"], rows[0]["seconds"]) == ("1500.0", "0.0", "12.3")
    assert rows[0]["warnings"] == "No air. Thick slices."
    assert rows[1]["error"] == "It is MR. The bundle reads CT. Choose a CT."
    assert (rows[1]["Liver (ml)"], rows[1]["machine"]) == ("", "m2")  # not measured is not "not found"


def test_markdown_counts_states_and_keeps_its_columns():
    text = results.markdown_text(ENTRIES, "Abdomen CT")
    assert "# Abdomen CT" in text and "3 cases: 1 done, 1 failed, 1 waiting." in text and "Research only" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(ENTRIES)
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_both_files_are_written_anew(tmp_path):
    results.write(ENTRIES, tmp_path / "out", "T")
    paths = results.write(ENTRIES[:1], tmp_path / "out", "T")
    assert len(paths[0].read_text(encoding="utf-8").splitlines()) == 2
    assert paths[1].read_text(encoding="utf-8").count("done") == 2


def test_one_case_is_called_one():
    assert results.summary(ENTRIES[:1]) == "1 case: 1 done."
    assert results.summary([]) == "No cases."
