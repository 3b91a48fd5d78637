"""What needs torch, under one name: the layers as torch modules, and the check of gradients."""

from .gradcheck import Comparison, GradientCheck, GradientError, check_gradients
from .twins import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm

__all__ = [
    "BatchNorm", "Comparison", "GradientCheck", "GradientError", "GroupNorm", "InstanceNorm", "LayerNorm",
    "RMSNorm", "check_gradients",
]  # fmt: skip
