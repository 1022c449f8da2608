"""Codes in Slicer's notation."""

import pytest

from EfficientSegLib.bundle import Label
from EfficientSegLib.terminology import terminology_entry


def parts(label):
    return terminology_entry(label).split("~")


def test_an_entry_has_slicers_seven_parts():
    entry = parts(Label(1, "left kidney", (0, 0, 0), "SCT:64033007", "SCT:7771000"))
    assert len(entry) == 7
    assert entry[2:4] == ["SCT^64033007^Kidney", "SCT^7771000^Left"]


def test_a_structure_without_side_has_an_empty_modifier():
    assert parts(Label(1, "liver", (0, 0, 0), "SCT:10200004"))[3] == "^^"


def test_an_unknown_code_takes_the_labels_name():
    assert parts(Label(1, "urinary_bladder", (0, 0, 0), "SCT:89837001"))[2] == "SCT^89837001^Urinary bladder"
    assert parts(Label(1, "left adrenal gland", (0, 0, 0), "SCT:23451007", "SCT:7771000"))[2:4] == [
        "SCT^23451007^Adrenal gland",
        "SCT^7771000^Left",
    ]


def test_no_code_no_entry():
    assert terminology_entry(Label(1, "liver", (0, 0, 0))) == ""


@pytest.mark.parametrize("sign", "^~|\n")
def test_a_name_cannot_break_the_notation(sign):
    entry = terminology_entry(Label(1, f"a{sign}b", (0, 0, 0), "SCT:5"))
    assert entry.count("~") == 6
    assert entry.split("~")[2] == "SCT^5^A b"
