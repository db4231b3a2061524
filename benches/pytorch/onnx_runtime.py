"""Features of ONNX Runtime from a file of `ijepa convert --to onnx`, beside those of `ijepa embed`.

    pip install onnx onnxruntime numpy pillow
    cargo build --release
    python benches/pytorch/onnx_runtime.py --ijepa target/release/ijepa --weights vith14 --batch 1 5

The pictures are rendered scenes of the encoder's own size, so both sides get the same pixels; the
file is checked by ONNX first. Exits with 1 if the greatest difference is 1e-4 or more.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from PIL import Image

TOLERANCE = 1e-4


def run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def greatest(args, folder):
    model = folder / "encoder.onnx"
    encoder = ["--encoder", args.encoder] if args.encoder else []
    heads = ["--num-heads", args.num_heads] if args.num_heads else []
    run(args.ijepa, "convert", args.weights, model, "--to", "onnx", *encoder, *heads)
    onnx.checker.check_model(str(model), full_check=True)
    said = {entry.key: entry.value for entry in onnx.load(model, load_external_data=False).metadata_props}
    height, width = json.loads(said["image_size"])
    mean, std = (np.array(json.loads(said[key]), np.float32)[:, None, None] for key in ("mean", "std"))

    images = max(args.batch)
    assert height == width, "scenes are square"
    run(args.ijepa, "data", "pack", "--data", f"scenes:n={images},size={width},seed=7", "--to", "tar",
        "--out", folder / "packed")
    run("tar", "-xf", next((folder / "packed").glob("*.tar")), "-C", folder)
    pictures = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in pictures])
    pixels = (pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - mean) / std

    ours = {}
    for pool in ("mean", "tokens"):
        out = folder / f"{pool}.npy"
        run(args.ijepa, "embed", "--weights", args.weights, "--data", f"tar:{folder}/packed/*.tar",
            "--preprocess", "none", "--pool", pool, "--out", out, *encoder, *heads)
        ours[pool] = np.load(out)

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in args.batch:
        tokens, pooled = session.run(["tokens", "pooled"], {"pixels": pixels[:batch]})
        for name, theirs in (("tokens", tokens), ("mean", pooled)):
            difference = float(np.abs(theirs - ours[name][:batch].reshape(theirs.shape)).max())
            worst = max(worst, difference)
            largest = float(np.abs(theirs).max())
            print(f"batch {batch} {name:6} {theirs.shape}: {difference:.2e} of up to {largest:.3g}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ijepa", default="ijepa", help="the command")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--encoder", choices=["target", "context"])
    parser.add_argument("--num-heads", type=int)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 5])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        worst = greatest(args, pathlib.Path(folder))
    print(f"greatest difference {worst:.2e}, allowed {TOLERANCE:.0e}")
    sys.exit(worst >= TOLERANCE)


if __name__ == "__main__":
    main()
