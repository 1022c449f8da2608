"""Labels of a bundle as Slicer's terminology entries and segment tags."""

from EfficientSegLib.bundle import Bundle, Label

LABEL_TAG = "EfficientSeg.Label"  # bundle name and label value: tells our segments from the user's
CATEGORY = "SCT^123037004^Anatomical Structure"
CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"
SIDES = {"SCT:7771000": "Left", "SCT:24028007": "Right", "SCT:51440002": "Right and left"}


def labelTag(bundle: Bundle, label: Label) -> str:
    """What marks a segment as this label of this bundle."""
    return f"{bundle.name}:{label.value}"


def terminologyEntry(label: Label) -> str:
    """The label in the form of Slicer's terminology tag; empty where it has no code.

    Source: vtkSlicerTerminologiesModuleLogic, category ~ type ~ modifier between the names of two contexts.
    """
    if not label.code:
        return ""
    modifier = _coded(label.modifier, SIDES.get(label.modifier, "")) if label.modifier else "^^"
    return "~".join((CONTEXT, CATEGORY, _coded(label.code, _meaning(label)), modifier, REGION_CONTEXT, "^^", "^^|"))


def _coded(code: str, meaning: str) -> str:
    scheme, _, value = code.partition(":")
    return f"{scheme}^{value}^{meaning}"


def _meaning(label: Label) -> str:
    """The structure's name without its side, which the modifier tells."""
    side = SIDES.get(label.modifier, "")
    words = [word for word in label.name.replace("_", " ").split() if word.lower() != side.lower()]
    return " ".join(words).capitalize()
