"""Instance and batch normalization in NumPy, with gradients derived by hand."""

from normcore.functional import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    instance_norm,
    instance_norm_backward,
    moments,
)

__version__ = "0.1.0"

__all__ = [
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "instance_norm",
    "instance_norm_backward",
    "moments",
]
