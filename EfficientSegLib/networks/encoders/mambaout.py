"""MambaOut-Tiny (arXiv 2405.07992): 22.9 M parameters."""

from EfficientSegLib.networks.encoders import from_timm

TIMM_NAME = "mambaout_tiny"
PRETRAINED = from_timm.Pretrained("mambaout_tiny.in1k", "Apache-2.0")


def build() -> from_timm.TimmEncoder:
    return from_timm.build(TIMM_NAME, levels=(0, 1, 2, 3), channels_at_the_end=True)
