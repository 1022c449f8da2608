"""The books of a folder: what is known stays, what was under way waits again, and the folder is free afterwards."""

from dataclasses import replace

import pytest

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.studies.books import Books
from EfficientSegLib.studies.case import Case, Entry, waiting
from EfficientSegLib.studies.queue_file import LOCK, QueueFile

ONE, TWO = waiting(Case("one", "/in/one.nii")), waiting(Case("two", "/in/two.nii"))


def test_what_another_batch_left_in_the_folder_stays_in_its_books(tmp_path):
    with Books(tmp_path, "T", [ONE], print) as books:
        books.put(replace(ONE, state="done", volumes_ml={"Liver": 1.0}))
    with Books(tmp_path, "T", [TWO], print):
        pass
    assert {name: entry.state for name, entry in QueueFile(tmp_path).read().items()} == {
        "one": "done",
        "two": "waiting",
    }
    assert (tmp_path / "results.csv").read_text().count("done") == 1


def test_a_case_under_way_waits_again_and_the_folder_is_free_whatever_ends_the_block(tmp_path):
    with pytest.raises(KeyError), Books(tmp_path, "T", [ONE], print) as books:
        books.put(replace(ONE, state="running"))
        assert (tmp_path / LOCK).exists()
        raise KeyError
    assert QueueFile(tmp_path).read()["one"] == ONE and not (tmp_path / LOCK).exists()


def test_each_process_that_died_at_a_case_is_counted(tmp_path):
    for deaths in (1, 2):
        QueueFile(tmp_path).write([replace(ONE, state="running", deaths=deaths - 1)])
        with Books(tmp_path, "T", [ONE], print) as books:
            assert books.entry("one").deaths == deaths
            assert books.put(replace(ONE, state="done")).deaths == deaths


def test_two_at_once_are_refused_before_anything_is_written(tmp_path):
    with Books(tmp_path, "T", [ONE], print):
        before = QueueFile(tmp_path).path.read_bytes()
        with pytest.raises(VolumeError, match="Another queue is at work"):
            Books(tmp_path, "T", [TWO], print).open()
        assert QueueFile(tmp_path).path.read_bytes() == before


def test_a_file_that_is_no_queue_leaves_no_lock(tmp_path):
    (tmp_path / "queue.jsonl").write_text("an export")
    with pytest.raises(VolumeError, match="is no queue"):
        Books(tmp_path, "T", [Entry("a", "/a")], print).open()
    assert not (tmp_path / LOCK).exists()
