"""Times `ijepa bench` and PyTorch in turn on the same work, in each precision: one round is all of them.

Sizes and masks come from our report, so both do the same. Prints each round, then the median ratios
of images per second with their spread. Everything after `--` goes to `ijepa bench`.

    python benches/pytorch/pair.py --rounds 7 -- step --arch vit_s16 --batch-size 16 --threads 2
    python benches/pytorch/pair.py --precision f32 bf16 -- encode --arch vit_s16 --batch-size 8 --threads 2
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


def theirs(ours, what, precision, args):
    """The PyTorch command for the work that `ours` reports."""
    command = [args.python, str(HERE / "step.py"), "--json", "--what", what]
    device = ours["device"].split(":")[0]
    command += ["--device", "cuda" if device == "cuda" else "cpu"]
    command += ["--precision", precision or ours["precision"]]
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
    parser.add_argument("--precision", nargs="+", choices=["f32", "bf16"], help="[default: ours alone]")
    parser.add_argument("bench", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    bench = [word for word in args.bench if word != "--"]
    if not bench:
        parser.error("say what to measure, as in: -- step --arch vit_s16")
    command = [args.ijepa, "bench", *bench, "--json"]
    command += ["--rounds", str(args.steps), "--warmup", str(args.warmup)]
    precisions = args.precision or [None]
    rates = {}
    for number in range(args.rounds):
        print(f"round {number + 1}:", end="")
        for precision in precisions:
            ours = run(command + (["--precision", precision] if precision else []))
            torch = run(theirs(ours, bench[0], precision, args))
            for who, report in (("ours", ours), ("PyTorch", torch)):
                rate = report["images_per_s"]["median"]
                rates.setdefault((who, precision), []).append(rate)
                name = f"{who} {precision}" if precision else who
                print(f" {name} {rate:.2f} images/s {report['peak_memory_mib']} MiB;", end="")
        print(flush=True)
    for who in rates:
        for other in rates:
            if who[0] == "ours" and who != other:
                ratio(who, other, rates)


def ratio(who, other, rates):
    """Prints the median over the rounds of one program's rate by another's."""
    ratios = [ours / theirs for ours, theirs in zip(rates[who], rates[other])]
    names = [" ".join(filter(None, name)) for name in (who, other)]
    medians = [statistics.median(rates[name]) for name in (who, other)]
    print(
        f"{names[0]} / {names[1]}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"{medians[0]:.2f} against {medians[1]:.2f} images/s"
    )


if __name__ == "__main__":
    main()
