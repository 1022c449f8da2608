"""FastViT-T12 (arXiv 2303.14189), SegMate's lightest published encoder: 6.4 M parameters."""

from EfficientSegLib.networks.encoders import from_timm

TIMM_NAME = "fastvit_t12"
PRETRAINED = from_timm.Pretrained("fastvit_t12.apple_in1k", "fastvit-license (Apple's own)")


def build() -> from_timm.TimmEncoder:
    return from_timm.build(TIMM_NAME, levels=(0, 1, 2, 3))
