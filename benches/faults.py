"""Faults of runs: each ends with a message or recovers, and the same command goes on to the weights
of a run that nothing happened to. Runs evaluate features every ten steps and write a checkpoint
every two, while they go on.

    cargo build -p ijepa-cli --features mpi
    python benches/faults.py --ijepa target/debug/ijepa --ranks 3 --kills 10

Needs Open MPI, Linux and, for the full disk, the right to mount one in a namespace (`unshare`).
Exits with 1 if anything is not as it should be.
"""

import argparse
import collections
import csv
import hashlib
import os
import pathlib
import random
import shlex
import signal
import subprocess
import tempfile
import time

SETTINGS = """model.embed_dim=16 model.depth=1 model.predictor_dim=8 model.predictor_depth=1
    mask.group_size=3 run.batch_size=12 optimizer.steps_per_epoch=10 run.log_every_steps=1
    run.checkpoint_every_steps=2 optimizer.epochs=100""".split()
PARTS = ["encoder", "target_encoder", "predictor", "optimizer"]
ENDS_WITHIN = 30
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]


def run_command(args, out):
    data = ["--data", args.data, "--out", str(out), "--max-steps", str(args.steps)]
    data += ["--eval-data", "scenes:n=400,size=32,seed=1", "--eval-test", "scenes:n=100,size=32,seed=2"]
    common = ["--quiet", "--threads", "1", "--workers", "1"]
    return [args.ijepa, "pretrain", "--recipe", "scenes_vit_nano", *data, *common, "--set", *SETTINGS]


def job_command(args, out):
    if args.ranks == 1:
        return run_command(args, out)
    return [*MPIRUN, "-n", str(args.ranks), *run_command(args, out)]


def environment():
    # Containers forbid what the other mechanisms need.
    return os.environ | {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}


class Job:
    def __init__(self, command):
        self.started = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
        )

    def ranks(self):
        """Process ids by rank."""
        found = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "status").read_text()
                variables = (folder / "environ").read_text().split("\0")
            except OSError:
                continue
            if f"PPid:\t{self.started.pid}\n" in status:
                name = "OMPI_COMM_WORLD_RANK="
                found |= {int(it.removeprefix(name)): int(folder.name) for it in variables if it.startswith(name)}
        return found

    def end(self, within=600):
        """Exit code, what was said and the seconds until then."""
        since = time.monotonic()
        _, said = self.started.communicate(timeout=within)
        return self.started.returncode, said, time.monotonic() - since

    def kill(self):
        for process in [*self.ranks().values(), self.started.pid]:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.started.communicate()


def last(path, column):
    """What the last whole row of a table says."""
    try:
        rows = list(csv.DictReader(path.read_text().splitlines()))
    except OSError:
        return None
    return rows[-1][column] if rows else None


def moment(out):
    """What a killed run was doing, by what it left."""
    left = [path.name for path in out.glob("checkpoints/.*.tmp")]
    if any(list((out / "checkpoints" / name).glob("step-*")) for name in left):
        return "deleting a checkpoint"
    if left:
        return "writing a checkpoint"
    done, evaluated = last(out / "metrics.csv", "step"), last(out / "epochs.csv", "step")
    if done is not None and (int(done) + 1) % 10 == 0 and evaluated != str(int(done) + 1):
        return "evaluating"
    return "starting" if done is None else "computing"


def step(out):
    """The last complete checkpoint."""
    try:
        return int(os.readlink(out / "checkpoints/latest").removeprefix("step-"))
    except OSError:
        return 0


def wait_for(out, at_least, job):
    while step(out) < at_least and job.started.poll() is None:
        time.sleep(0.02)


def weights(out):
    hashes = hashlib.sha256()
    for part in PARTS:
        hashes.update((out / f"checkpoints/latest/{part}.safetensors").read_bytes())
    return hashes.hexdigest()


def finish(args, out):
    subprocess.run(job_command(args, out), check=True, env=environment(), stdout=subprocess.DEVNULL)
    return weights(out)


def late(args, out):
    job = Job(job_command(args, out))
    wait_for(out, 4, job)
    process = job.ranks()[1]
    os.kill(process, signal.SIGSTOP)
    time.sleep(20)
    os.kill(process, signal.SIGCONT)
    code, said, _ = job.end()
    assert code == 0, said
    return "went on"


def signalled(args, out, number, codes):
    job = Job(job_command(args, out))
    wait_for(out, 4, job)
    os.kill(job.ranks()[args.ranks - 1], number)
    code, said, seconds = job.end(ENDS_WITHIN)
    assert codes(code), (code, said)
    return f"ended with {code} after {seconds:.1f} s, step {step(out)}"


def killed(args, out):
    chance = random.Random(args.ranks)
    moments = collections.Counter()
    first = None
    for kill in range(args.kills):
        job = Job(job_command(args, out))
        wait_for(out, step(out) + chance.randint(0, 4), job)
        time.sleep(chance.random())
        job.kill()
        moments[moment(out)] += 1
        subprocess.run([args.ijepa, "inspect", str(out)], check=step(out) > 0, capture_output=True)
        first = first or step(out)
    said = ", ".join(f"{count} while {name}" for name, count in moments.most_common())
    return f"killed {args.kills} times from step {first} to {step(out)}: {said}"


def alone_killed(args, out):
    return killed(argparse.Namespace(**vars(args) | {"ranks": 1}), out)


def full_disk(args, out):
    """The run on a small disk: it fails when that is filled, and goes on once it is not."""
    job = shlex.join(job_command(args, out / "run"))
    # Tables grow with the steps.
    size = 1 + args.steps // 400
    script = f"""
        mount -t tmpfs -o size={size}m tmpfs {out} || exit 77
        {job} 2> {out}.said &
        until [ -e {out}/run/checkpoints/latest ]; do sleep 0.05; done
        head -c {2 * size}m /dev/zero > {out}/filler 2> /dev/null
        wait $!; echo $? > {out}.code
        rm {out}/filler
        {job} || exit 79
        cp -r {out}/run {out}.copy
    """
    out.mkdir()
    flags = "-m" if os.geteuid() == 0 else "-rm"
    code = subprocess.run(["unshare", flags, "sh", "-c", script], env=environment()).returncode
    if code == 77:
        return None
    assert code == 0, code
    said = pathlib.Path(f"{out}.said").read_text()
    assert "No space left on device" in said, said
    pathlib.Path(f"{out}.copy").rename(out / "run")
    return f"ended with {pathlib.Path(f'{out}.code').read_text().strip()} and went on"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ijepa", default="target/release/ijepa")
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200, help="of a run; a fast machine takes more for 20 kills")
    parser.add_argument("--data", default="scenes:n=48,size=32")
    args = parser.parse_args()
    faults = {
        "a process late by 20 s": late,
        "SIGTERM to one": lambda *run: signalled(*run, signal.SIGTERM, lambda code: code == 130),
        "SIGKILL to one": lambda *run: signalled(*run, signal.SIGKILL, lambda code: code != 0),
        "a full disk": full_disk,
        "the whole job": killed,
        "one process": alone_killed,
    }
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run(run_command(args, folder / "whole"), check=True, stdout=subprocess.DEVNULL)
        expected = weights(folder / "whole")
        for number, (name, fault) in enumerate(faults.items()):
            out = folder / str(number)
            became = fault(args, out)
            if became is None:
                print(f"{name}: not run, mounting is not allowed", flush=True)
                continue
            run = out / "run" if (out / "run").is_dir() else out
            assert finish(args, run) == expected, f"{name}: other weights"
            print(f"{name}: {became}; then the same weights", flush=True)


if __name__ == "__main__":
    main()
