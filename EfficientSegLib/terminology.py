"""Labels in Slicer's terminology notation, so that segments carry a code that other programs understand."""

from EfficientSegLib.bundle import Label

CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
CATEGORY = "SCT^123037004^Anatomical Structure"
# SNOMED CT's own words; a code that is not here is shown with the label's name.
MEANINGS = {
    "7771000": "Left",
    "24028007": "Right",
    "51440002": "Right and left",
    "10200004": "Liver",
    "15825003": "Aorta",
    "2748008": "Spinal cord",
    "39607008": "Lung",
    "64033007": "Kidney",
    "78961009": "Spleen",
    "51282000": "Vertebra",
    "29836001": "Hip",
}
SIDES = ("left", "right")


def terminology_entry(label: Label) -> str:
    """The value of Slicer's `TerminologyEntry` tag; "" for a label without code.

    Category, type, type modifier, and an empty anatomic region, each as scheme^code^meaning.
    """
    if not label.code:
        return ""
    side = _coded(label.modifier, "") if label.modifier else "^^"
    return "~".join((CONTEXT, CATEGORY, _coded(label.code, label.name), side, REGION_CONTEXT, "^^", "^^"))


def _coded(code: str, name: str) -> str:
    scheme, _, number = code.partition(":")
    return "^".join((scheme, number, MEANINGS.get(number) or _readable(name)))


def _readable(name: str) -> str:
    """A label's name without its side, which the modifier tells, and without the notation's own signs."""
    words = "".join(" " if letter in "^~|_" else letter for letter in name).split()
    return " ".join([word for word in words if word.lower() not in SIDES] or words).capitalize()
