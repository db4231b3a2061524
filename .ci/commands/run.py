"""Runs the commands that README and docs print, small: `.ci/commands/run.py IJEPA [PAGE...]`.

The shell blocks of a page run one after the other in a scratch folder of its own, where data, weights
and programs of their names stand in for real ones (`standins.py`, `shim.py`). Says what ran, what failed
and what was left out, and why; fails if anything did.
"""

import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import standins

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHIM = pathlib.Path(__file__).with_name("shim.py")
# What blocks call besides the shell itself. Programs that are not ours are left out, not run.
PROGRAMS = ["ijepa", "mpirun", "srun", "cargo", "curl", "docker", "ffmpeg", "pip", "python", "rustup"]
# What is built with libraries in C has checks of its own.
NOT_BUILT = "needs a build with the Cargo feature"
# Only what hangs takes so long.
SECONDS = 3600


def pages(names):
    """The pages and their shell blocks, in the order in which people read them."""
    all_pages = [ROOT / "README.md", ROOT / "docs/tour.md", *sorted((ROOT / "docs").glob("*.md"))]
    for path in dict.fromkeys(all_pages):
        name = str(path.relative_to(ROOT))
        blocks = re.findall(r"^```sh\n(.*?)\n```$", path.read_text(), re.MULTILINE | re.DOTALL)
        if blocks and (not names or name in names):
            yield name, blocks


def programs(folder):
    """A folder with a program of ours for each that blocks call."""
    folder.mkdir()
    for name in PROGRAMS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {SHIM} {name} "$@"\n')
        script.chmod(0o755)
    return folder


def run(block, home, environment):
    """The calls of one block: what, exit code or reason, and what was said."""
    calls = home / "calls"
    calls.write_text("")
    # Scripts of the repository are programs of others here: they measure.
    block = re.sub(r"^(\S+=\S+ )*((benches|crates|fuzz)/\S+\.sh)", r"python \2", block, flags=re.MULTILINE)
    process = subprocess.Popen(
        ["bash", "-c", block],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        code = f"more than {SECONDS} s"
    # A service that the block started ends with it.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    found = [line.split("\t", 2) for line in calls.read_text().splitlines()]
    if not found:
        found = [[str(code), block, "nothing was called"]]
    elif code != 0 and all(call[0] in ("0", "left out") for call in found):
        found.append([str(code), block, "the block failed"])
    return found


def main():
    ijepa = pathlib.Path(sys.argv[1]).resolve()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="commands-"))
    fresh, home = scratch / "fresh", scratch / "home"
    environment = {
        "PATH": f"{programs(scratch / 'bin')}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(scratch),
        "IJEPA": str(ijepa),
        "HF_HUB_OFFLINE": "1",
    }
    counts, failures = collections.Counter(), []
    try:
        standins.make(fresh, ijepa)
        for name, blocks in pages(sys.argv[2:]):
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(fresh, home)
            page = collections.Counter()
            for block in blocks:
                for code, command, said in run(block, home, environment):
                    if NOT_BUILT in said:
                        code, said = "left out", NOT_BUILT
                    kind = {"0": "run", "left out": "left out"}.get(code, "failed")
                    page[kind] += 1
                    if kind == "left out":
                        print(f"  left out ({said}): {command[:120]}")
                    elif kind == "failed":
                        failures.append(f"{name}: {command}\n  {code}: {said}")
            print(f"{name}: {page['run']} run, {page['left out']} left out, {page['failed']} failed", flush=True)
            counts += page
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(failures))
    print(f"commands of the docs: {counts['run']} run, {counts['left out']} left out, {counts['failed']} failed")
    return 1 if failures or not counts["run"] else 0


if __name__ == "__main__":
    sys.exit(main())
