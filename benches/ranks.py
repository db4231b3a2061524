"""What it costs to train as several processes, and to write checkpoints meanwhile.

weak         two ranks with a thread each beside two processes with a thread and half the batch each
memory       peak memory of each rank, with the moments in shares and whole, beside the formula's
checkpoints  steps while a checkpoint is always being written beside steps without

The two sides of `weak` and `checkpoints` run in turn, swapping which goes first; the processes of
`weak` are pinned to a core each. Prints every round, then the median ratio and its spread.

    cargo build --release -p ijepa-cli --features mpi
    python benches/ranks.py weak memory checkpoints

Needs Open MPI, Linux and `taskset`.
"""

import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from faults import MPIRUN, Job, environment

ROOT = pathlib.Path(__file__).parent.parent
# Rows of the first steps, which fill caches.
WARMUP = 2


def settings(args, groups, *more):
    sizes = [f"mask.group_size={args.group}", f"run.batch_size={args.group * groups}"]
    often = ["run.log_every_steps=1", "run.keep_last=1"]
    return ["--set", *sizes, *often, *more, *args.set]


def pretrain(args, out, groups, *more, threads=1):
    command = [args.ijepa, "pretrain", "--recipe", args.recipe, "--data", args.data, "--out", str(out)]
    command += ["--max-steps", str(args.steps), "--threads", str(threads), "--workers", "1", "--quiet"]
    return command + settings(args, groups, *more)


def pinned(core, command):
    return ["taskset", "--cpu-list", str(core), *command]


def together(commands):
    """Runs all at once."""
    started = [subprocess.Popen(it, env=environment(), stdout=subprocess.DEVNULL) for it in commands]
    assert [it.wait() for it in started] == [0] * len(started)


def column(out, name):
    with open(out / "metrics.csv", newline="") as rows:
        return [float(row[name]) for row in csv.DictReader(rows)][WARMUP:]


def step_ms(out):
    return statistics.median(column(out, "step_ms"))


def in_turn(args, sides, unit):
    """Figures of two sides in turn; the ratios of the second to the first."""
    ratios = []
    for number in range(args.rounds):
        found = {}
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory() as folder:
                found[name] = sides[name](pathlib.Path(folder))
        first, second = (found[name] for name in sides)
        ratios.append(second / first)
        print(f"round {number + 1}: {first:.4g} and {second:.4g} {unit}, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def weak(args):
    shares = []

    def apart(folder):
        outs = [folder / str(core) for core in range(2)]
        together([pinned(core, pretrain(args, out, args.groups)) for core, out in enumerate(outs)])
        return sum(1e3 * args.group * args.groups / step_ms(out) for out in outs)

    def ranks(folder):
        out = folder / "run"
        command = pretrain(args, out, 2 * args.groups)
        parts = [["-n", "1", *pinned(core, command)] for core in range(2)]
        together([[*MPIRUN, *parts[0], ":", *parts[1]]])
        times = zip(column(out, "communication_ms"), column(out, "step_ms"))
        shares.append(statistics.median(talk / step for talk, step in times))
        return 1e3 * args.group * 2 * args.groups / step_ms(out)

    in_turn(args, {"two processes": apart, "two ranks": ranks}, "images/s")
    print(f"adding up gradients and waiting: {statistics.median(shares):.1%} of a step")


def memory(args):
    flags = ["--recipe", args.recipe, "--tflops", "1", "--gpus", str(args.ranks), "--json"]
    for shared, key in (("true", "bytes_zero1"), ("false", "bytes")):
        command = [args.ijepa, "bench", "scale", *flags, *settings(args, args.ranks)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        formula = json.loads(said)["runs"][0][key] >> 20
        with tempfile.TemporaryDirectory() as folder:
            command = pretrain(args, pathlib.Path(folder) / "run", args.ranks, f"run.shard_optimizer={shared}")
            peaks = list(peak_mib([*MPIRUN, "-n", str(args.ranks), *command]).values())
        print(f"shard_optimizer={shared}: {', '.join(map(str, peaks))} MiB, by formula {formula} MiB", flush=True)


def peak_mib(command):
    """Peak memory of each rank; what it takes in its last tenth of a second may be missing."""
    job, peaks = Job(command), {}
    while job.started.poll() is None:
        for rank, process in sorted(job.ranks().items()):
            try:
                status = pathlib.Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            found = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
            peaks[rank] = max([peaks.get(rank, 0), *(kib >> 10 for kib in found)])
        time.sleep(0.1)
    code, said, _ = job.end()
    assert code == 0, said
    return peaks


def checkpoints(args):
    pauses = {0: [], args.every: []}

    def run(folder, every):
        more = f"run.checkpoint_every_steps={every}"
        began = time.monotonic()
        together([pretrain(args, folder / "run", args.groups, more, threads=args.threads)])
        pauses[every].append((time.monotonic() - began) / args.steps)
        return step_ms(folder / "run")

    in_turn(
        args, {"none": lambda folder: run(folder, 0), "some": lambda folder: run(folder, args.every)}, "ms a step"
    )
    none, some = (statistics.median(times) for times in pauses.values())
    print(f"between steps, to copy and to wait for the one before: {1e3 * (some - none):.0f} ms a step more")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = {"weak": weak, "memory": memory, "checkpoints": checkpoints}
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--recipe", default="imagenette_vit_s16")
    parser.add_argument("--data", default="scenes:n=512,size=224")
    parser.add_argument("--group", type=int, default=4, help="images of a mask group")
    parser.add_argument("--groups", type=int, default=2, help="mask groups of a process in a step")
    parser.add_argument("--ranks", type=int, default=4, help="processes of `memory`, one mask group each")
    parser.add_argument("--every", type=int, default=1, help="steps between two of `checkpoints`")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of `checkpoints`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="of a run; the first two do not count")
    parser.add_argument("--set", nargs="*", default=[], help="further overrides of the recipe")
    args = parser.parse_args()
    for part in args.parts:
        print(part, flush=True)
        parts[part](args)


if __name__ == "__main__":
    main()
