"""What needs torch, under one name: the layers as torch modules, and the check of gradients."""

from .gradcheck import Comparison, GradientCheck, GradientError, check_gradients
from .twins import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

__all__ = [
    "BatchNorm", "Comparison", "GradientCheck", "GradientError", "GroupNorm", "InstanceNorm", "LayerNorm",
    "check_gradients",
]  # fmt: skip
