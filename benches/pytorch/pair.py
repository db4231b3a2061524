"""Times `ijepa bench` and PyTorch in turn on the same work: ours, theirs, ours, theirs, ...

Sizes and masks come from our report, so both do the same. Prints each round, then the median ratio
of images per second with its spread. Everything after `--` goes to `ijepa bench`.

    python benches/pytorch/pair.py --rounds 7 -- step --arch vit_s16 --batch-size 16 --threads 2
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def theirs(ours, what, args):
    """The PyTorch command for the work that `ours` reports."""
    command = [args.python, str(HERE / "step.py"), "--json", "--what", what]
    device = ours["device"].split(":")[0]
    command += ["--device", "cuda" if device == "cuda" else "cpu"]
    command += ["--precision", args.precision or ours["precision"]]
    command += ["--batch-size", str(ours["batch_size"]), "--threads", str(ours["threads"])]
    for key, value in ours["model"].items():
        side = value[0] if isinstance(value, list) else value
        command += ["--" + key.replace("_", "-"), str(side)]
    if what == "step":
        masks = ours["masks"][-args.steps :]
        command += ["--masks", ",".join(f"{context}:{target}" for context, target in masks)]
    command += ["--steps", str(args.steps), "--warmup", str(args.warmup)]
    return command + (["--compile"] if args.compile else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--precision", choices=["f32", "bf16"], help="of PyTorch [default: ours]")
    parser.add_argument("bench", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    bench = [word for word in args.bench if word != "--"]
    if not bench:
        parser.error("say what to measure, as in: -- step --arch vit_s16")
    command = [args.ijepa, "bench", *bench, "--json"]
    command += ["--rounds", str(args.steps), "--warmup", str(args.warmup)]
    ratios = []
    for number in range(args.rounds):
        ours = run(command)
        torch = run(theirs(ours, bench[0], args))
        rates = [report["images_per_s"]["median"] for report in (ours, torch)]
        ratios.append(rates[0] / rates[1])
        memory = [report["peak_memory_mib"] for report in (ours, torch)]
        print(
            f"round {number + 1}: {rates[0]:.2f} against {rates[1]:.2f} images/s, "
            f"ratio {ratios[-1]:.2f}, memory {memory[0]} against {memory[1]} MiB",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
