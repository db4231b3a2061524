"""Prints the licences of every crate that the command is built of, with their texts.

    python3 .ci/notices.py [FEATURES]
"""

import json
import pathlib
import re
import subprocess
import sys

TEXTS = re.compile(r"(un)?licen[cs]e|copying|notice|copyright", re.IGNORECASE)
UPLOT = pathlib.Path("crates/ijepa-report/assets/uPlot-LICENSE")


def cargo(*words):
    return json.loads(subprocess.check_output(["cargo", *words], text=True))


def crates_of_the_command(features):
    """Names and versions, as `cargo tree` resolves the features for this machine."""
    tree = ["cargo", "tree", "-p", "ijepa-cli", "--features", features, "--edges", "normal"]
    lines = subprocess.check_output([*tree, "--prefix", "none", "--format", "{p}"], text=True)
    return {tuple(line.split()[:2]) for line in lines.splitlines() if line.strip()}


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    found = [path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name)]
    return [path.read_text(errors="replace").strip() for path in sorted(found)]


def main():
    features = sys.argv[1] if len(sys.argv) > 1 else ""
    used = crates_of_the_command(features)
    packages = cargo("metadata", "--format-version", "1", "--locked")["packages"]
    others = [p for p in packages if p["source"] and (p["name"], f"v{p['version']}") in used]
    others.sort(key=lambda package: (package["name"], package["version"]))
    print(f"# Third-party notices\n\nThe command contains these {len(others)} crates.\n")
    print("| crate | licence | source |\n|---|---|---|")
    for package in others:
        print(f"| {package['name']} {package['version']} | {package['license']} | {package['repository'] or ''} |")
    print("\nA crate without a text below has none of its own; MIT and Apache-2.0 are beside this file.")
    crates_of = {UPLOT.read_text().strip(): ["uPlot, in the pages of `ijepa report`"]}
    for package in others:
        for text in texts(package):
            crates_of.setdefault(text, []).append(f"{package['name']} {package['version']}")
    for text, names in crates_of.items():
        print(f"\n## {', '.join(names)}\n\n````text\n{text}\n````")


if __name__ == "__main__":
    main()
