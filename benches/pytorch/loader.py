"""Times `ijepa bench data` and torchvision's DataLoader in turn on the same JPEGs, crops and workers.

Makes the sets from a folder of photographs (ImageFolder layout): as they are, 500x375, 512x512 and
4000x3000, and the first also as tar and Parquet with `ijepa data pack`. Both sides decode, crop
(scale 0.3 to 1, bicubic, 224 px) and batch by 64; torchvision also converts to floats and normalises
in its workers, which we do on the device.

    python benches/pytorch/loader.py --images shop/train --rounds 5 --workers 1 2
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent.parent
SIDES = {"photos": None, "500x375": (500, 375), "512x512": (512, 512), "4000x3000": (4000, 3000)}


def make(name, images, folder, count):
    """A set of JPEGs of one size, quality 90, of the first `count` photographs."""
    for number, path in enumerate(sorted(images.rglob("*.jpg"))[:count]):
        out = folder / name / path.parent.name / f"{number:05}.jpg"
        out.parent.mkdir(parents=True, exist_ok=True)
        if SIDES[name] is None:
            out.write_bytes(path.read_bytes())
        else:
            Image.open(path).convert("RGB").resize(SIDES[name], Image.BICUBIC).save(out, quality=90)
    files = [path.stat().st_size for path in (folder / name).rglob("*.jpg")]
    print(f"{name}: {len(files)} files of {sum(files) / len(files) / 1000:.0f} kB")
    return folder / name


def theirs(folder, workers, seconds):
    """Images per second of torchvision over whole epochs, after the workers have started."""
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(224, scale=(0.3, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    data = datasets.ImageFolder(folder, transform)
    endless = torch.utils.data.RandomSampler(data, replacement=True, num_samples=10**7)
    loader = torch.utils.data.DataLoader(data, batch_size=64, sampler=endless, num_workers=workers)
    batches = iter(loader)
    for _ in range(2 * workers + 1):
        next(batches)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        images += len(next(batches)[0])
    return images / (time.perf_counter() - start)


def ours(binary, data, workers, seconds, keys=()):
    command = [binary, "bench", "data", "--json", "--data", data, "--workers", str(workers), "--batch-size", "64"]
    command += ["--rounds", "1", "--seconds", str(seconds)] + [word for key in keys for word in ("--set", key)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--fast", action="store_true", help="also `data.decode = \"fast\"`, which needs the feature turbojpeg")
    parser.add_argument("--torch-worker", nargs=3, metavar=("FOLDER", "WORKERS", "SECONDS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.torch_worker:
        folder, workers, seconds = args.torch_worker
        return print(theirs(folder, int(workers), float(seconds)))
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.sets:
            folder = make(name, args.images, pathlib.Path(scratch), 64 if name == "4000x3000" else 1000)
            programs = {"folder": f"folder:{folder}"}
            if name == "photos":
                for kind in ("tar", "parquet"):
                    packed = pathlib.Path(scratch) / f"packed-{kind}"
                    pack = [args.ijepa, "data", "pack", "--data", programs["folder"], "--out", packed, "--to", kind]
                    subprocess.run([*map(str, pack), "--quiet"], check=True, capture_output=True)
                    programs[kind] = f"tar:{packed}/*.tar" if kind == "tar" else f"parquet:{packed}"
            for workers in args.workers:
                compare(name, programs, folder, workers, args)


def compare(name, programs, folder, workers, args):
    rates = {}
    for _ in range(args.rounds):
        for kind, data in programs.items():
            report = ours(args.ijepa, data, workers, args.seconds)
            rates.setdefault(kind, []).append(report["images_per_s"]["median"])
        if args.fast:
            report = ours(args.ijepa, programs["folder"], workers, args.seconds, ["data.decode=fast"])
            rates.setdefault("folder, fast", []).append(report["images_per_s"]["median"])
        command = [sys.executable, __file__, "--images", ".", "--torch-worker", str(folder), str(workers), str(args.seconds)]
        rates.setdefault("torchvision", []).append(float(subprocess.check_output(command, text=True)))
    for kind, values in rates.items():
        ratios = [value / other for value, other in zip(values, rates["torchvision"])]
        print(
            f"{name}, {workers} workers, {kind}: {statistics.median(values):.0f} images/s, "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of torchvision",
            flush=True,
        )


if __name__ == "__main__":
    main()
