"""Features, masks and batches of I-JEPA as NumPy arrays; see docs/python.md of the repository."""

from ijepa._collator import DEFAULT_RECIPE, MaskCollator, masks
from ijepa._ijepa import Encoder, Loader, MaskSampler, __version__, load

__all__ = [
    "DEFAULT_RECIPE",
    "Encoder",
    "Loader",
    "MaskCollator",
    "MaskSampler",
    "__version__",
    "load",
    "masks",
]
