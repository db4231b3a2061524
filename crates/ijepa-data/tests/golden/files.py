"""Writes files.safetensors: small image files, and what Pillow makes of them.

Needs Pillow with libtiff, and numpy: python files.py
A file is `NAME|file`, its pixels by Image.open(...).convert("RGB") are `NAME|rgb`; `NAME|turned`
are those after ImageOps.exif_transpose. `webp_flat` is a large picture of one colour, (7, 80, 200).
"""

import io
import json
import struct
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps


def picture(height, width):
    """Smooth shades, an edge and a little noise, as photographs have."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.stack(
        [
            128 + 100 * np.sin(columns / 9 + rows / 17),
            128 + 90 * np.cos(rows / 7 - columns / 23),
            40 + columns * 150 / width + 30 * np.sin(rows * columns / 300),
        ],
        axis=-1,
    )
    waves[:, width // 2 :] = 255 - waves[:, width // 2 :]
    noise = np.random.default_rng(3).normal(0, 3, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


RGB = picture(45, 61)
PALETTE = RGB.quantize(40)
TURNED = Image.Exif()
TURNED[0x0112] = 6


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gif():
    """A frame that is smaller than the screen, with a transparent colour."""
    bytes = bytearray(save(PALETTE, "GIF", transparency=3))
    bytes[6], bytes[8] = 70, 50
    return bytes


def sixteen_bits():
    rows, columns = np.mgrid[0:9, 0:13]
    return Image.fromarray((rows * 7000 + columns * 331).astype(np.uint16))



FILES = {
    "jpeg_420": save(RGB, "JPEG", quality=85, subsampling="4:2:0"),
    "jpeg_422": save(RGB, "JPEG", quality=85, subsampling="4:2:2"),
    "jpeg_444": save(RGB, "JPEG", quality=92, subsampling="4:4:4"),
    "jpeg_progressive": save(RGB, "JPEG", quality=85, progressive=True),
    "jpeg_grey": save(RGB.convert("L"), "JPEG", quality=85),
    "jpeg_cmyk": save(RGB.convert("CMYK"), "JPEG", quality=90),
    "jpeg_turned": save(RGB, "JPEG", quality=85, exif=TURNED),
    "png_turned": save(RGB.crop((0, 0, 9, 7)), "PNG", exif=TURNED),
    "webp_turned": save(RGB.crop((0, 0, 9, 7)), "WEBP", lossless=True, exif=TURNED),
    "png_palette": save(PALETTE, "PNG"),
    "gif": save(PALETTE, "GIF"),
    "gif_grey": save(RGB.convert("L"), "GIF"),
    "gif_small_frame": bytes(gif()),
    "gif_animated": save(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
    "tiff_palette": save(PALETTE, "TIFF"),
    "tiff_palette_lzw": save(PALETTE, "TIFF", compression="tiff_lzw"),
    "tiff_bit": save(RGB.convert("1"), "TIFF"),
    "tiff_big": save(RGB, "TIFF", big_tiff=True),
    "tiff_big_palette": save(PALETTE, "TIFF", big_tiff=True),
    "tiff_zstd": save(RGB, "TIFF", compression="zstd"),
    "tiff_lzw": save(RGB, "TIFF", compression="tiff_lzw"),
    "tiff_deflate": save(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "tiff_packbits": save(RGB, "TIFF", compression="packbits"),
    "tiff_jpeg": save(RGB, "TIFF", compression="jpeg"),
    "tiff_ycbcr": save(RGB.convert("YCbCr"), "TIFF"),
    "tiff_cmyk": save(RGB.convert("CMYK"), "TIFF"),
    "tiff_turned": save(RGB.crop((0, 0, 9, 7)), "TIFF", tiffinfo={0x0112: 6}),
    "png_grey_16": save(sixteen_bits(), "PNG"),
}

FLAT = Image.new("RGB", (2700, 2700), (7, 80, 200))
tensors = {"webp_flat|file": np.frombuffer(save(FLAT, "WEBP", lossless=True), dtype=np.uint8)}
for name, file in FILES.items():
    tensors[f"{name}|file"] = np.frombuffer(file, dtype=np.uint8)
    tensors[f"{name}|rgb"] = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    if name.endswith("turned"):
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
        tensors[f"{name}|turned"] = np.asarray(upright.convert("RGB"))

header, data = {"__metadata__": {"pillow": PIL.__version__}}, b""
for name, tensor in tensors.items():
    offsets = [len(data), len(data) + tensor.nbytes]
    header[name] = {"dtype": "U8", "shape": tensor.shape, "data_offsets": offsets}
    data += tensor.tobytes()
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
path = Path(__file__).with_suffix(".safetensors")
path.write_bytes(struct.pack("<Q", len(text)) + text + data)
