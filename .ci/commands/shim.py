"""A program that a block of the docs calls: our command made small, or a word that it was left out."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

HOME = pathlib.Path(os.environ["HOME"])
IJEPA = os.environ.get("IJEPA")
FEW = ["run.batch_size=4", "mask.group_size=4"]
# What stands for what a page leaves to its reader.
WORDS = {
    "T": "folder:flowers/train",
    "F": "folder:flowers/train",
    "S": "folder:flowers/test",
    "hf:facebook/ijepa_vith14_1k": "vith14-hf",
    "hf:amirbar1/StoP/vit-b16.pth.tar": "vitb16.pth.tar",
}


def tiny(recipe):
    """Sizes for a published recipe, whose patches stay as they are."""
    patch = 14 if "14" in recipe else 16
    sizes = f"embed_dim=24 depth=4 num_heads=2 mlp_ratio=4.0 patch_size={patch} predictor_dim=24 predictor_depth=1"
    return ["model." + size for size in sizes.split()]


def record(code, command, said=""):
    said = " ".join(said.split())[-600:]
    with open(HOME / "calls", "a") as calls:
        calls.write(f"{code}\t{' '.join(command)}\t{said}\n")


def value(args, flag):
    return args[args.index(flag) + 1] if flag in args else None


def without(args, flag):
    """Arguments without a flag and its value."""
    if flag not in args:
        return args
    at = args.index(flag)
    return args[:at] + args[at + 2 :]


def small(args):
    """The same command with little work to do."""
    command = args[:3] if args[:2] == ["visualize", "rcdm"] else args[:1]
    recipe = value(args, "--recipe") or ""
    published = tiny(recipe) if recipe.startswith(("in1k", "in22k")) else []
    args = without(args, "--max-steps")
    if command[0] == "pretrain":
        return [*args, "--max-steps", "2", "--set", *FEW, *published]
    if command[0] == "finetune" or command == ["visualize", "rcdm", "train"]:
        return [*args, "--max-steps", "2", "--set", "run.batch_size=4"]
    if command[:2] == ["visualize", "rcdm"]:
        for flag in ("--images", "--samples", "--steps"):
            args = without(args, flag)
        return [*args, "--images", "2", "--samples", "2", "--steps", "2"]
    if command[0] in ("sweep", "ablate") and "--print" not in args:
        for flag in ("--minutes", "--equal", "--images", "--seeds"):
            args = without(args, flag)
        return [*args, "--images", "1024", "--seeds", "0"]
    if command[0] == "bench" and args[1] != "scale":
        warmup = ["--warmup", "0"] if args[1] in ("step", "encode") else []
        return [*without(without(args, "--rounds"), "--warmup"), "--rounds", "1", *warmup]
    return args


def missing_weights(args):
    """Puts a run where a block takes one that no page has made."""
    for word in args:
        run = HOME / word
        taken = word.startswith("runs/") and word != value(args, "--out")
        if taken and not run.exists():
            shutil.copytree(HOME / "standin", run)


def ijepa(args):
    args = [WORDS.get(word, word) for word in args]
    command = ["ijepa", *args]
    if args[0] == "push" or args[:2] == ["weights", "get"]:
        return record("left out", command, "needs the hub")
    if any("://" in word for word in args):
        return record("left out", command, "needs a server")
    if "…" in " ".join(args):
        return record("left out", command, "is an outline")
    missing_weights(args)
    if args[0] == "serve":
        return serve(without(args, "--address"))
    found = subprocess.run([IJEPA, *small(args)], capture_output=True, text=True)
    sys.stdout.write(found.stdout)
    record(found.returncode, command, found.stderr)


def serve(args):
    """Starts a service at a free port; it ends with the block."""
    log = HOME / "serve.log"
    with open(log, "w") as said:
        process = subprocess.Popen([IJEPA, *args, "--address", "127.0.0.1:0"], stdout=said, stderr=said)
    for _ in range(2400):
        text = log.read_text()
        if "listening at http://" in text:
            address = text.split("listening at http://")[1].split()[0]
            (HOME / "address").write_text(address)
            return record(0, ["ijepa", *args])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    record(process.poll() or "silent", ["ijepa", *args], log.read_text())


def curl(args):
    address = (HOME / "address").read_text()
    real = [word.replace("127.0.0.1:8080", address) for word in args]
    found = subprocess.run(["/usr/bin/curl", "--silent", "--fail-with-body", *real], capture_output=True, text=True)
    good = found.returncode == 0 and "embeddings" in found.stdout
    record(0 if good else found.returncode or "no answer", ["curl", *args], found.stdout + found.stderr)


def cargo(args):
    """An example that is built runs; building is for other checks."""
    name = value(args, "--example")
    example = pathlib.Path(IJEPA).parent / "examples" / (name or "none")
    if not example.is_file():
        return record("left out", ["cargo", *args], "is built by other checks")
    steps = ["--max-steps", "2"] if name == "pretrain_imagenet" else []
    found = subprocess.run([example, *steps], capture_output=True, text=True)
    record(found.returncode, ["cargo", *args], found.stderr)


def main():
    name, args = sys.argv[1], sys.argv[2:]
    if name in ("mpirun", "srun") and "ijepa" in args:
        return ijepa(args[args.index("ijepa") + 1 :])
    ours = {"ijepa": ijepa, "curl": curl, "cargo": cargo}
    if name not in ours:
        return record("left out", [name, *args], "is not ours")
    try:
        ours[name](args)
    except Exception as error:
        # Whatever this script does not foresee is a failure, too.
        record("unforeseen", [name, *args], repr(error))


if __name__ == "__main__":
    main()
