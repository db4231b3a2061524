"""Writes distortions.safetensors: what Pillow makes of small images, one tensor a case.

Needs Pillow and numpy: python distortions.py
A name is `image|operation|argument`; images alone are `image|source|0`. The calls and arguments
are those of RandAugment: fill colour (124, 116, 104), bicubic unless the operation says bilinear.
"""

import json
import struct
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

FILL = (124, 116, 104)
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def noise():
    """Colour noise on a gradient, every level from 0 to 255."""
    rows, columns = np.mgrid[0:29, 0:37]
    gradient = np.stack([columns * 6, rows * 8, 255 - columns * 3 - rows * 4], axis=-1)
    random = np.random.default_rng(0).integers(-90, 91, gradient.shape)
    return np.clip(gradient + random, 0, 255).astype(np.uint8)


def dull():
    """Few levels, others in each channel."""
    random = np.random.default_rng(1).integers(0, 60, (17, 23, 3)) ** 2 // 60
    return (random + np.array([40, 90, 160])).astype(np.uint8)


IMAGES = {
    "noise": noise(),
    "dull": dull(),
    "tiny": np.array([[[0, 250, 9], [99, 3, 200]], [[7, 8, 9], [255, 255, 0]]], dtype=np.uint8),
    "flat": np.full((3, 4, 3), 77, dtype=np.uint8),
}


def affine(image, matrix, resample=BICUBIC):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample, fillcolor=FILL)


def solarize_add(image, amount):
    lut = [min(255, i + amount) if i < 128 else i for i in range(256)]
    return image.point(lut * 3)


OPERATIONS = {
    "source": lambda i, v: i,
    "autocontrast": lambda i, v: ImageOps.autocontrast(i),
    "equalize": lambda i, v: ImageOps.equalize(i),
    "invert": lambda i, v: ImageOps.invert(i),
    "rotate": lambda i, v: i.rotate(v, resample=BICUBIC, fillcolor=FILL),
    "rotate_bilinear": lambda i, v: i.rotate(v, resample=BILINEAR, fillcolor=FILL),
    "posterize": lambda i, v: ImageOps.posterize(i, v),
    "solarize": lambda i, v: ImageOps.solarize(i, v),
    "solarize_add": solarize_add,
    "color": lambda i, v: ImageEnhance.Color(i).enhance(v),
    "contrast": lambda i, v: ImageEnhance.Contrast(i).enhance(v),
    "brightness": lambda i, v: ImageEnhance.Brightness(i).enhance(v),
    "sharpness": lambda i, v: ImageEnhance.Sharpness(i).enhance(v),
    "shear_x": lambda i, v: affine(i, (1, v, 0, 0, 1, 0)),
    "shear_x_bilinear": lambda i, v: affine(i, (1, v, 0, 0, 1, 0), BILINEAR),
    "shear_y": lambda i, v: affine(i, (1, 0, 0, v, 1, 0)),
    "translate_x": lambda i, v: affine(i, (1, 0, v * i.size[0], 0, 1, 0)),
    "translate_y": lambda i, v: affine(i, (1, 0, 0, 0, 1, v * i.size[1])),
}
FACTORS = [0.1, 0.19, 0.55, 1.45, 1.81]
CASES = (
    [(image, op, 0) for image in IMAGES for op in ("source", "autocontrast", "equalize")]
    + [("noise", "invert", 0)]
    + [("noise", "rotate", v) for v in (-27.0, 0.0, 13.5, 30.0)]
    + [("noise", "rotate_bilinear", v) for v in (-3.0, 27.0)]
    + [("noise", "posterize", v) for v in (1, 3, 4)]
    + [("noise", "solarize", v) for v in (0, 26, 128, 256)]
    + [("noise", "solarize_add", v) for v in (0, 55, 99, 110)]
    + [("noise", op, v) for op in ("color", "contrast", "brightness", "sharpness") for v in FACTORS]
    + [(image, "sharpness", 1.81) for image in ("dull", "tiny", "flat")]
    + [("noise", op, v) for op in ("shear_x", "shear_y") for v in (-0.27, 0.1, 0.3)]
    + [("noise", "shear_x_bilinear", 0.27)]
    + [("noise", op, v) for op in ("translate_x", "translate_y") for v in (-0.405, 0.13, 0.45)]
    + [("tiny", op, 0.27) for op in ("shear_x", "shear_y", "translate_x")]
    + [("tiny", "rotate", 20.0)]
)

header, data = {"__metadata__": {"pillow": PIL.__version__}}, b""
for image, operation, value in CASES:
    result = np.asarray(OPERATIONS[operation](Image.fromarray(IMAGES[image]), value))
    assert result.shape == IMAGES[image].shape
    header[f"{image}|{operation}|{value}"] = {
        "dtype": "U8",
        "shape": result.shape,
        "data_offsets": [len(data), len(data) + result.nbytes],
    }
    data += result.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
path = Path(__file__).with_suffix(".safetensors")
path.write_bytes(struct.pack("<Q", len(text)) + text + data)
