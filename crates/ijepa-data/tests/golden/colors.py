"""Writes colors.safetensors: one picture, and what torchvision's colour adjustments make of it.

Needs torchvision, Pillow and numpy: python colors.py
Adjusted pictures are named `OPERATION|ARGUMENT`, the picture itself is `source`.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image
from torchvision.transforms import functional

rows, columns = np.mgrid[0:12, 0:24]
shades = np.stack([columns * 11, rows * 23, 255 - columns * 5 - rows * 9], axis=-1)
noise = np.random.default_rng(0).integers(-60, 61, shades.shape)
PICTURE = np.clip(shades + noise, 0, 255).astype(np.uint8)
PICTURE[0, :8] = [[0, 0, 0], [255] * 3, [9, 9, 9], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 0, 0], [254, 255, 255]]

FACTORS = [0.2, 0.6, 1.0, 1.4, 1.8]
CASES = [(operation, value) for operation in ("brightness", "contrast", "saturation") for value in FACTORS]
CASES += [("hue", value) for value in (-0.5, -0.2, -0.1, -0.001, 0.0, 0.003, 0.05, 0.2, 0.37, 0.5)]

tensors = {"source": PICTURE}
for operation, value in CASES:
    adjust = getattr(functional, f"adjust_{operation}")
    tensors[f"{operation}|{value}"] = np.asarray(adjust(Image.fromarray(PICTURE), value))

header, data = {"__metadata__": {"torchvision": torchvision.__version__}}, b""
for name, tensor in tensors.items():
    offsets = [len(data), len(data) + tensor.nbytes]
    header[name] = {"dtype": "U8", "shape": tensor.shape, "data_offsets": offsets}
    data += tensor.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
path = Path(__file__).with_suffix(".safetensors")
path.write_bytes(struct.pack("<Q", len(text)) + text + data)
