"""Times `ijepa bench step` with two sets of overrides in turn, swapping which goes first.

Prints each round, then the medians of images per second, the median ratio of B to A with its spread,
operations and memory. Everything after `--` goes to both.

    cargo build --release -p ijepa-cli
    python benches/variants.py --a objective.kind=jepa --b objective.kind=mae -- \\
        --recipe cifar10_vit_nano_plain --threads 1
"""

import argparse
import json
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).parent.parent


def step(args, bench, overrides):
    command = [args.ijepa, "bench", "step", *bench, "--set", *overrides.split(), "--json"]
    command += ["--rounds", str(args.steps), "--warmup", str(args.warmup)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--a", required=True, help="overrides, with spaces between")
    parser.add_argument("--b", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("bench", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    bench = [word for word in args.bench if word != "--"]
    sides = {"A": args.a, "B": args.b}
    rates, ratios, reports = {"A": [], "B": []}, [], {}
    for number in range(args.rounds):
        for side in ("AB", "BA")[number % 2]:
            reports[side] = step(args, bench, sides[side])
            rates[side].append(reports[side]["images_per_s"]["median"])
        ratios.append(rates["B"][-1] / rates["A"][-1])
        print(f"round {number + 1}: {rates['A'][-1]:.2f} and {rates['B'][-1]:.2f} images/s, "
              f"ratio {ratios[-1]:.2f}", flush=True)
    for side, found in reports.items():
        print(f"{side} {sides[side]}: {statistics.median(rates[side]):.2f} images/s, "
              f"{found['gflop_per_image']:.3f} GFLOP an image, {found['peak_memory_mib']} MiB")
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
