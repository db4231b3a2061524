"""JPEG files of every common kind, and what Pillow makes of parts of them: jpeg.safetensors.

python jpeg.py, with Pillow, NumPy and safetensors.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

WIDTH, HEIGHT = 149, 117
# Left, top, width, height, then columns and rows of the result.
PARTS = [
    (0, 0, 149, 117, 40, 40),
    (17, 5, 30, 41, 24, 24),
    (31, 33, 64, 50, 24, 20),
    (100, 80, 49, 37, 24, 24),
    (140, 3, 9, 9, 16, 16),
]


def picture() -> Image.Image:
    """Waves of every colour, a sharp edge and a little noise."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    waves = [np.sin(x / 9 + y / 31), np.cos(y / 7 - x / 17), np.sin((x + 2 * y) / 13)]
    levels = 127 + 90 * np.stack(waves, -1)
    levels[(x // 37 + y // 29) % 2 == 0] *= 0.4
    levels += np.random.default_rng(0).normal(0, 4, levels.shape)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def main() -> None:
    kinds = {
        "444": {"subsampling": 0},
        "422": {"subsampling": 1},
        "420": {"subsampling": 2},
        "progressive": {"subsampling": 2, "progressive": True},
        "restarts": {"subsampling": 2, "restart_marker_rows": 1},
        "grey": {},
    }
    tensors = {}
    for kind, options in kinds.items():
        image = picture().convert("L") if kind == "grey" else picture()
        file = BytesIO()
        image.save(file, "JPEG", quality=88, **options)
        tensors[kind] = np.frombuffer(file.getvalue(), np.uint8)
        decoded = Image.open(file).convert("RGB")
        for left, top, width, height, columns, rows in PARTS:
            part = decoded.crop((left, top, left + width, top + height))
            part = part.resize((columns, rows), Image.BILINEAR)
            name = f"{kind}|{left},{top},{width},{height}"
            tensors[name] = np.ascontiguousarray(part)
    save_file(tensors, Path(__file__).with_name("jpeg.safetensors"))


main()
