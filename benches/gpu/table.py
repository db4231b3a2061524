"""Runs the CUDA tests and every row of the table, each within a time limit, and prints the table.

A row that fails or runs out of time says so and the others go on. Needs only the standard library;
rows of PyTorch appear if Python has it.

    python3 benches/gpu/table.py --bin FOLDER --out FOLDER [--minutes 9]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

STEP = pathlib.Path(__file__).resolve().parent.parent / "pytorch" / "step.py"
# Few lengths of tokens, so that few kernels are compiled and tuned: targets of 6 x 6 patches (7 x 7
# of 16 x 16) and contexts in steps of 16.
MASKS = [
    "mask.mode=uniform", "mask.length_multiple=16",
    "mask.target_scale=[0.185,0.185]", "mask.target_aspect=[1.0,1.0]",
]
PEAK = """
import json, time, torch
a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
best = 0.0
for _ in range(8):
    torch.cuda.synchronize(); start = time.perf_counter()
    a @ b; torch.cuda.synchronize()
    best = max(best, 2 * 8192**3 / (time.perf_counter() - start) / 1e9)
print(json.dumps({"gflop_per_s": best, "device": torch.cuda.get_device_name(), "torch": torch.__version__}))
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of ijepa, reference and parity")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--minutes", type=float, default=9.0, help="time of everything together")
    parser.add_argument("--row-seconds", type=float, default=100.0, help="time of one row at most")
    parser.add_argument("--archs", default="vit_s16,vit_b16,vit_l16,vit_h14")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=8)
    parser.add_argument("--set", nargs="*", default=[], help="further changes of the recipe, for every row")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--no-torch", action="store_true")
    return parser.parse_args()


class Runner:
    def __init__(self, args):
        self.args = args
        self.end = time.monotonic() + 60 * args.minutes
        self.lines = []

    def say(self, line):
        print(line, flush=True)
        self.lines.append(line)
        (self.args.out / "table.txt").write_text("\n".join(self.lines) + "\n")

    def run(self, name, command, limit=None, environment=None):
        """(output, None), or (None, why there is none)."""
        left = self.end - time.monotonic()
        limit = min(limit or self.args.row_seconds, left)
        if limit < 5:
            return None, "no time left"
        log = self.args.out / f"{name}.log"
        try:
            with log.open("w") as errors:
                done = subprocess.run(
                    list(map(str, command)), stdout=subprocess.PIPE, stderr=errors, text=True, timeout=limit,
                    cwd=self.args.bin, env={**os.environ, **(environment or {})},
                )
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout or b""
            log.open("a").write(output.decode() if isinstance(output, bytes) else output)
            return None, f"not done after {limit:.0f} s"
        except OSError as error:
            return None, str(error)
        with log.open("a") as errors:
            errors.write(done.stdout)
        if done.returncode != 0:
            lines = [line for line in log.read_text().splitlines() if line.strip()]
            return None, f"exit {done.returncode}: {lines[-1][:90] if lines else 'no message'}"
        return done.stdout, None

    def json(self, name, command):
        output, why = self.run(name, command)
        if output is None:
            return None, why
        try:
            return json.loads(output.strip().splitlines()[-1]), None
        except (ValueError, IndexError):
            return None, "no JSON in its output"

    def tests(self):
        kind = self.args.device.split(":")[0]
        for name, limit in (("reference", 150), ("parity", 60)):
            command = [self.args.bin / name, "--test-threads=1"]
            output, why = self.run(name, command, limit, {"IJEPA_TEST_DEVICE": kind})
            results = [line for line in (output or "").splitlines() if line.startswith("test result")]
            self.say(f"tests {name} on {kind}: {results[-1] if results else why}")

    def ours(self, what, arch, *changes):
        args = self.args
        command = [
            args.bin / "ijepa", "bench", what, "--arch", arch, "--batch-size", args.batch_size,
            "--device", args.device, "--precision", args.precision, "--rounds", args.rounds,
            "--warmup", args.warmup, "--json", "--set", *MASKS, *args.set, *changes,
        ]
        name = "-".join(["ours", what, arch, *(change.split("=")[1] for change in changes)])
        return self.json(name, command)

    def theirs(self, what, arch, ours, compiled):
        args = self.args
        pairs = ours.get("masks", [])[-args.rounds :] if ours else []
        masks = ",".join(f"{context}:{target}" for context, target in pairs) or "80:36"
        command = [
            sys.executable, STEP, "--json", "--what", what, "--arch", arch, "--batch-size", args.batch_size,
            "--device", "cuda" if args.device.startswith("cuda") else "cpu", "--masks", masks,
            "--steps", args.rounds, "--warmup", args.warmup,
        ]
        for key in ("image_size", "patch_size", "embed_dim", "depth", "num_heads", "predictor_dim", "predictor_depth"):
            value = (ours or {}).get("model", {}).get(key)
            if value is not None:
                side = value[0] if isinstance(value, list) else value
                command += ["--" + key.replace("_", "-"), side]
        command += ["--compile"] if compiled else []
        return self.json("-".join(["torch", what, arch, "compile" if compiled else "eager"]), command)


def has_torch():
    return subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0


class Table:
    """Rows of work, each by several programs."""

    def __init__(self, runner):
        self.runner = runner
        self.peak = None
        self.results = []

    def head(self):
        self.runner.say(
            f"{'work':22}{'program':18}{'images/s':>10}{'min':>9}{'max':>9}"
            f"{'GFLOP/image':>13}{'TFLOP/s':>9}{'share':>7}{'MiB':>8}"
        )

    def row(self, work, program, report, why, gflop):
        self.results.append({"work": work, "program": program, "report": report, "why": why})
        (self.runner.args.out / "results.json").write_text(json.dumps(self.results, indent=1))
        if report is None:
            self.runner.say(f"{work:22}{program:18}  {why}")
            return
        rate = report["images_per_s"]
        speed = rate["median"] * gflop if gflop else None
        peak = self.peak or report.get("matmul_gflop_per_s")
        share = f"{100 * speed / peak:6.1f}%" if speed and peak else f"{'-':>7}"
        self.runner.say(
            f"{work:22}{program:18}{rate['median']:10.1f}{rate['min']:9.1f}{rate['max']:9.1f}"
            + (f"{gflop:13.2f}{speed / 1e3:9.2f}" if speed else f"{'-':>13}{'-':>9}")
            + f"{share}{report.get('peak_memory_mib') or 0:8}"
        )


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    runner = Runner(args)
    table = Table(runner)
    torch = not args.no_torch and has_torch()
    if not torch:
        runner.say("PyTorch: not measured, Python has none here")
    elif args.device.startswith("cuda"):
        peak, why = runner.json("peak", [sys.executable, "-c", PEAK])
        table.peak = peak and peak["gflop_per_s"]
        runner.say(f"peak: {peak or why}")
    if not args.no_tests:
        runner.tests()
    table.head()
    archs = args.archs.split(",")
    fused = {}
    for arch in archs:
        fused[arch], why = runner.ours("step", arch)
        gflop = fused[arch] and fused[arch]["gflop_per_image"]
        table.row(f"step {arch}", "ijepa", fused[arch], why, gflop)
        if torch:
            for compiled in (False, True):
                report, why = runner.theirs("step", arch, fused[arch], compiled)
                table.row(f"step {arch}", "torch compile" if compiled else "torch eager", report, why, gflop)
    for arch in archs:
        ours, why = runner.ours("encode", arch)
        gflop = ours and ours["gflop_per_image"]
        table.row(f"encode {arch}", "ijepa", ours, why, gflop)
        if torch:
            report, why = runner.theirs("encode", arch, ours, False)
            table.row(f"encode {arch}", "torch eager", report, why, gflop)
    for arch in archs:
        report, why = runner.ours("step", arch, "run.kernels=reference")
        gflop = report and report["gflop_per_image"]
        table.row(f"step {arch}", "ijepa, reference", report, why, gflop)


if __name__ == "__main__":
    main()
