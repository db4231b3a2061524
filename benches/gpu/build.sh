#!/usr/bin/env bash
# Builds what run.sh and cifar10.sh need into a folder that can be copied to a GPU machine,
# stripped and compressed: the command, and the tests of kernels and parity, which only run.sh needs.
#
#   benches/gpu/build.sh [FOLDER]      (default: benches/gpu/bundle)
#
# Environment:
#   GPU_FEATURES   Cargo features of the build (default: cuda)
#   GPU_LINK       an object file or flag added to every link
set -euo pipefail
cd "$(dirname "$0")/../.."
bundle=$(realpath -m "${1:-benches/gpu/bundle}")
features=${GPU_FEATURES:-cuda}
most=$((64 << 20))

[[ -z ${GPU_LINK:-} ]] || export RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=$GPU_LINK"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo build --release --workspace --features "$features" --bin ijepa \
  --test reference --test parity --message-format=json-render-diagnostics > "$log"

# The executables that Cargo reports, by the names of their targets.
executable() {
  sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p' "$log" | tail -1
}

rm -rf "$bundle"
mkdir -p "$bundle"
for name in ijepa reference parity; do
  built=$(executable "$name")
  [[ -x $built ]] || { echo "no executable $name was built" >&2; exit 1; }
  strip -o "$bundle/$name" "$built"
done
# Tests look for their golden files where they were built.
pwd > "$bundle/built_in"
"$bundle/ijepa" --version
"$bundle/ijepa" devices
pack() {
  local archive=$1
  shift
  tar -C "$bundle" -cf - "$@" | xz -T0 -3 > "$bundle/$archive.tar.xz"
  rm "${@/#/$bundle/}"
}
pack ijepa ijepa
pack tests reference parity built_in
size=$(du -bc "$bundle"/*.tar.xz | tee /dev/stderr | awk 'END { print $1 }')
[[ $size -le $most ]] || { echo "larger than $((most >> 20)) MiB" >&2; exit 1; }
