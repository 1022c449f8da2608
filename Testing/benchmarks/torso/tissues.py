"""What is in the drawing: labels, and the HU of every tissue in a contrast phase."""

from dataclasses import dataclass

import numpy as np

NAMES = (
    "background",
    "liver",
    "spleen",
    "kidney_right",
    "kidney_left",
    "stomach",
    "gallbladder",
    "pancreas",
    "urinary_bladder",
    "lung_right",
    "lung_left",
    "oesophagus",
    "aorta",
    "vena_cava",
    "bile_duct",
    "adrenal_right",
    "adrenal_left",
    "ureters",
    "vertebrae",
    "ribs",
)
LABELS = {name: value for value, name in enumerate(NAMES)}  # 20 with background: the paper's count for its MACs

# Labels filled with one tissue and no more than smooth inhomogeneity and vessels: the median HU inside is the tissue's.
# The others have gas, marrow, a cortex, or are too thin for a voxel without partial volume.
EVEN = {
    "liver": "liver",
    "spleen": "spleen",
    "pancreas": "pancreas",
    "gallbladder": "gallbladder",
    "urinary_bladder": "urine",
    "aorta": "aorta",
    "vena_cava": "vena_cava",
}

# HU without contrast, in the arterial and in the portal venous phase.
PHASES = {
    "liver": (56, 68, 108),
    "liver_vessel": (42, 75, 140),
    "spleen": (48, 125, 120),
    "cortex": (33, 175, 185),
    "medulla": (32, 85, 160),
    "gut_wall": (42, 70, 78),
    "gallbladder": (10, 10, 12),
    "bile": (9, 10, 13),
    "pancreas": (40, 98, 92),
    "adrenal": (30, 68, 72),
    "urine": (6, 6, 9),
    "ureter": (22, 28, 34),
    "aorta": (42, 300, 160),
    "vena_cava": (40, 72, 142),
    "portal_vein": (41, 95, 168),
    "vein": (40, 65, 130),
    "blood_pool": (42, 255, 150),
    "myocardium": (45, 105, 105),
    "oesophagus": (38, 52, 58),
    "muscle": (54, 58, 62),
    "disc": (80, 80, 82),
    "lung": (-835, -830, -830),
    "lung_vessel": (30, 110, 100),
    "cartilage": (95, 95, 98),
    "fat": (-106, -106, -104),
    "skin": (10, 15, 20),
    "spongiosa": (165, 168, 172),
    "cortical_bone": (560, 565, 565),
}


@dataclass(frozen=True)
class Tissues:
    """HU of one case. `contrast`: 0 none, 1 arterial, 2 portal venous, and anything between."""

    contrast: float
    hu: dict[str, float]

    def __getitem__(self, name: str) -> float:
        return self.hu[name]


def draw_tissues(generator: np.random.Generator) -> Tissues:
    """A contrast phase, and HU that differ from person to person (3 HU and 4 %, one standard deviation)."""
    contrast = float(generator.choice([0.0, 1.0, 2.0], p=[0.2, 0.25, 0.55]))
    if contrast:
        contrast += float(generator.uniform(-0.25, 0.25) if contrast == 1 else generator.uniform(-0.3, 0))
    hu = {}
    for name, values in PHASES.items():
        middle = float(np.interp(contrast, (0, 1, 2), values))
        spread = 3 + 0.04 * abs(middle) if name not in ("fat", "lung", "urine", "bile", "gallbladder") else 4
        hu[name] = middle + spread * float(np.clip(generator.standard_normal(), -2, 2))
    return Tissues(contrast, hu)
