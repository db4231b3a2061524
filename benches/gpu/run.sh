#!/usr/bin/env bash
# Tests the kernels on a GPU and measures steps and encoding beside PyTorch, in one command.
#
#   benches/gpu/run.sh [BUNDLE] [OUT] [options of table.py]
#
# BUNDLE is the folder that build.sh filled (default: benches/gpu/bundle), OUT takes logs, the
# table and the kernel caches (default: runs/gpu). Copy OUT/kernels back before the next call and
# nothing is compiled or tuned twice. See `table.py --help` for the options.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(realpath "${1:-$here/bundle}")
out=$(realpath -m "${2:-runs/gpu}")
shift $(($# < 2 ? $# : 2))

source "$here/unpack.sh"
# Tests look for their golden files where they were built.
built_in=$(cat "$work/built_in")
repository=$(cd "$here/../.." && pwd)
if [[ ! -e $built_in ]]; then
  mkdir -p "$(dirname "$built_in")"
  ln -s "$repository" "$built_in"
fi
exec python3 "$here/table.py" --bin "$work" --out "$out" "$@"
