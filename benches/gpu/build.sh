#!/usr/bin/env bash
# Builds what run.sh and cifar10.sh need into a folder that can be copied to a GPU machine:
# the command and the tests of kernels and parity, stripped and compressed.
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
tar -C "$bundle" -cf - ijepa reference parity built_in | xz -T0 -3 > "$bundle/bundle.tar.xz"
rm "$bundle"/{ijepa,reference,parity,built_in}
size=$(stat -c %s "$bundle/bundle.tar.xz")
echo "$bundle/bundle.tar.xz: $((size >> 20)) MiB"
[[ $size -le $most ]] || { echo "larger than $((most >> 20)) MiB" >&2; exit 1; }
