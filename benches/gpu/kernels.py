"""What compile.sh left: registers and spills of kernels, launches and copies of a step, as tables.

    python3 benches/gpu/kernels.py OUT PTXAS

Needs only the standard library.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "crates" / "ijepa-kernels" / "src" / "cube"
AVERAGE = "blend_kernel"
COPIES = {
    "to_device": "host to device", "to_host": "device to host",
    "on_device": "within the device", "fill": "fills",
}


def kernels_of_ours():
    """Names of the kernels in our sources."""
    launchable = re.compile(r"#\[cube\(launch[^]]*\)\]\s*(?:#\[.*\]\s*)*fn (\w+)")
    sources = (path.read_text().split("#[cfg(test)]\nmod tests")[0] for path in SOURCES.glob("*.rs"))
    return {name for source in sources for name in launchable.findall(source)}


def base(name):
    """A kernel's name without its types and the hash of its settings."""
    name = re.sub(r"_[0-9a-f]{8}$", "", name)
    return re.sub(r"_([a-z]+_(f|bf|i|u)\d+|n_\d+)(_.*)?$", "", name)


def assemble(ptxas, ptx):
    """Registers, bytes of static shared memory and bytes spilled of a kernel, or why it has none."""
    target = re.search(r"^\.target (\w+)", ptx.read_text(), re.M)[1]
    command = [ptxas, "-v", "--gpu-name", target, "--output-file", os.devnull, ptx]
    done = subprocess.run(command, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if done.returncode:
        return {"error": text.strip().splitlines()[0]}
    number = lambda pattern: sum(map(int, re.findall(pattern, text)))
    return {
        "registers": number(r"Used (\d+) registers"),
        "shared": number(r"(\d+) bytes smem"),
        "spilled": number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
    }


def shortest_step(trace):
    """Launches and copies of the shortest step, which tunes nothing.

    A step ends with the moving average of the target encoder.
    """
    ends, averages = [], False
    for place, words in enumerate(trace):
        if words[0] == "launch":
            if averages and base(words[1]) != AVERAGE:
                ends.append(place)
            averages = base(words[1]) == AVERAGE
    return min((trace[start:end] for start, end in zip(ends, ends[1:])), key=len, default=[])


class Run:
    """One step of one architecture and precision on one device."""

    def __init__(self, folder, ptxas):
        self.name = folder.name
        files = sorted(folder.glob("*.ptx"))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            resources = pool.map(lambda ptx: assemble(ptxas, ptx), files)
            self.resources = {ptx.stem: found for ptx, found in zip(files, resources)}
        words = [line.split() for line in (folder / "trace.txt").open()]
        dynamic = {line[1]: int(line[-1]) for line in words if line[0] == "launch"}
        self.step = shortest_step(words)
        for name, found in self.resources.items():
            if "error" not in found:
                found["shared"] += dynamic.get(name, 0)
        self.launches = collections.Counter(base(words[1]) for words in self.step if words[0] == "launch")

    def launched(self):
        """Names of all kernels of the step."""
        return {words[1] for words in self.step if words[0] == "launch"}

    def cell(self, kernel):
        """Registers, bytes of shared memory and bytes spilled of all variants of a kernel."""
        variants = [found for name, found in self.resources.items() if base(name) == kernel]
        if any("error" in found for found in variants):
            return "refused"
        if not variants:
            return "-"
        shared, spilled = spread(variants, "shared"), spread(variants, "spilled")
        spills = "" if spilled == "0" else f", **{spilled} spilled**"
        return f"{spread(variants, 'registers')}, {shared}{spills}"

    def copied(self, what):
        sizes = [int(words[1]) for words in self.step if words[0] == what]
        return f"{len(sizes)} of {sum(sizes) / 1e6:.3f} MB"

    def summary(self, ours):
        """One line on the kernels of others."""
        others = {name: found for name, found in self.resources.items() if base(name) not in ours}
        fine = {name: found for name, found in others.items() if "error" not in found}
        spilling = [name for name, found in fine.items() if found["spilled"]]
        line = f"- {self.name}: {len(self.resources)} kernels compiled, {len(others)} of them of Burn and CubeCL"
        line += f", with {spread(fine.values(), 'registers')} registers, {len(spilling)} with spills"
        line += f" ({len(set(spilling) & self.launched())} of which are in the step)"
        refused = [f"{name}: {found['error']}" for name, found in others.items() if "error" in found]
        return "\n".join([line + f", {len(refused)} refused by ptxas", *(f"  - {why}" for why in refused)])


def spread(variants, key):
    values = [found[key] for found in variants] or [0]
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def table(head, runs, rows):
    print("\n| " + " | ".join([head, *(run.name for run in runs)]) + " |")
    print("|---" * (len(runs) + 1) + "|")
    for name, cells in rows:
        print("| " + " | ".join([name, *map(str, cells)]) + " |")


def main():
    out, ptxas = pathlib.Path(sys.argv[1]), sys.argv[2]
    runs = [Run(path.parent, ptxas) for path in sorted(out.glob("*/trace.txt"))]
    (out / "resources.json").write_text(json.dumps({run.name: run.resources for run in runs}, indent=1))
    ours = kernels_of_ours()
    compiled = sorted(ours & {base(name) for run in runs for name in run.resources})

    table("registers, shared memory in B", runs, ((name, [run.cell(name) for run in runs]) for name in compiled))
    print()
    for run in runs:
        print(run.summary(ours))

    kernels = collections.Counter()
    for run in runs:
        kernels.update(run.launches)
    rows = [("**all**", [run.launches.total() for run in runs])]
    own = lambda run: sum(count for name, count in run.launches.items() if name in ours)
    rows += [("ours", [own(run) for run in runs])]
    rows += [(name, [run.launches[name] for run in runs]) for name, _ in kernels.most_common()]
    table("launches of a step", runs, rows)
    table("copies of a step", runs, ((text, [run.copied(what) for run in runs]) for what, text in COPIES.items()))


if __name__ == "__main__":
    main()
