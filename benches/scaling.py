"""Step time and memory against batch, tokens and depth, beside what arithmetic and traffic allow.

Each row is `ijepa bench step` of ViT-S/16 with one size changed. The arithmetic floor is the formula's
operations at the rate of a large float32 matrix product in NumPy, the traffic floor two passes over
every byte of the memory estimate (weights, gradients, moments, kept activations: each is written once
and read once) at the rate of a large copy, both in the same number of threads on the same machine just
before the row. Prints a Markdown table for each size.

    cargo build --release -p ijepa-cli
    OPENBLAS_NUM_THREADS=2 python benches/scaling.py --threads 2
"""

import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import time

import numpy

ROOT = pathlib.Path(__file__).parent.parent
BASE = {"batch": 8, "image": 224, "depth": 12}
SWEEPS = {"batch": [1, 4, 8, 16, 32], "image": [112, 160, 224, 320], "depth": [3, 6, 12, 24]}


def best(seconds, repeats=5):
    return min(seconds() for _ in range(repeats))


def matmul_gflops(size=3072):
    a, b = numpy.random.rand(2, size, size).astype("float32")

    def once():
        started = time.perf_counter()
        a @ b
        return time.perf_counter() - started

    return 2e-9 * size**3 / best(once)


def copy_gbytes(threads, size=1 << 26):
    """Bytes read and written a second, all threads copying at once."""
    pairs = [(numpy.ones(size, "uint8"), numpy.empty(size, "uint8")) for _ in range(threads)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def once():
            started = time.perf_counter()
            list(pool.map(lambda pair: numpy.copyto(pair[1], pair[0]), pairs))
            return time.perf_counter() - started

        return 2e-9 * size * threads / best(once)


def ijepa(args, *words):
    command = [args.ijepa, *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(args, sizes):
    changes = [f"model.image_size={sizes['image']}", "model.predictor_depth=6"]
    changes += ["model.embed_dim=384", f"model.depth={sizes['depth']}", "model.num_heads=6"]
    changes += ["model.patch_size=16", "model.predictor_dim=384", f"run.batch_size={sizes['batch']}"]
    changes += ["mask.min_keep=1"]  # blocks of a small grid have few patches
    recipe = ["--recipe", "in1k_vitb16_ep600", "--set", *changes, "run.precision=f32"]
    gflops, gbytes = matmul_gflops(), copy_gbytes(args.threads)
    flags = ["--device", "flex", "--threads", args.threads, "--rounds", args.rounds, "--warmup", 1]
    found = ijepa(args, "bench", "step", *recipe, "--batch-size", sizes["batch"], *flags)
    estimate = ijepa(args, "devices", *recipe)["estimate"]
    ms = 1000 * sizes["batch"] / found["images_per_s"]["median"]
    arithmetic = sizes["batch"] * found["gflop_per_image"] / gflops * 1000
    traffic = 2e-9 * estimate["total_bytes"] / gbytes * 1000
    tokens = (sizes["image"] // 16) ** 2
    return (
        f"| {sizes['batch']} | {tokens} | {sizes['depth']} | {ms:.0f} | {arithmetic:.0f} | {traffic:.0f} "
        f"| {arithmetic / ms:.0%} | {found['peak_memory_mib']} | {estimate['total_bytes'] >> 20} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for swept, values in SWEEPS.items():
        print(f"\n| batch | tokens | depth | step, ms | arithmetic floor, ms | traffic floor, ms "
              f"| arithmetic / step | memory, MiB | estimate, MiB |\n|{'---|' * 9}")
        for value in values:
            print(row(args, BASE | {swept: value}), flush=True)


if __name__ == "__main__":
    main()
