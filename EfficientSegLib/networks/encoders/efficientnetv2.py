"""EfficientNetV2-M (arXiv 2104.00298), SegMate's most accurate encoder: 52.2 M parameters."""

from EfficientSegLib.networks.encoders import from_timm

TIMM_NAME = "tf_efficientnetv2_m"
PRETRAINED = from_timm.Pretrained("tf_efficientnetv2_m.in21k_ft_in1k", "Apache-2.0")


def build() -> from_timm.TimmEncoder:
    return from_timm.build(TIMM_NAME, levels=(1, 2, 3, 4))
