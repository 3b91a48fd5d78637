"""Instance and batch normalization in NumPy, with gradients derived by hand."""

from __future__ import annotations

from . import engine, formulas, functional, grouped, layers, statistics
from .functional import (
    Cache,
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    instance_norm,
    instance_norm_backward,
    moments,
)
from .grouped import (
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from .layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

__version__ = "2.0.0"

__all__ = [
    "BatchNorm",
    "Cache",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "engine",
    "formulas",
    "functional",
    "group_norm",
    "group_norm_backward",
    "grouped",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "layers",
    "moments",
    "rms_norm",
    "rms_norm_backward",
    "statistics",
]
