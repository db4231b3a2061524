#!/usr/bin/env bash
# One HTML file with everything in it, which works offline:
#
#   crates/ijepa-web/build.sh OUT.html [MODEL_FOLDER [EXAMPLE]]
#
# MODEL_FOLDER is what `ijepa convert RUN MODEL_FOLDER --to native` writes; without one the page asks
# for its files. Needs the target (`rustup target add wasm32-unknown-unknown`) and wasm-bindgen of the
# version in Cargo.lock (`cargo install wasm-bindgen-cli --version VERSION`).
#
# Environment: FEATURES=webgpu         computes on the GPU where the browser has WebGPU, else on the CPU
#              CARGO, WASM_BINDGEN     commands to use instead of these
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
shift
target=${CARGO_TARGET_DIR:-$here/../../target}
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+simd128" ${CARGO:-cargo} build \
  --manifest-path "$here/Cargo.toml" --release --target wasm32-unknown-unknown ${FEATURES:+--features "$FEATURES"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${WASM_BINDGEN:-wasm-bindgen}" --target no-modules --no-typescript --out-dir "$work" \
  "$target/wasm32-unknown-unknown/release/ijepa_web.wasm"
python3 "$here/page/assemble.py" "$work/ijepa_web.js" "$work/ijepa_web_bg.wasm" "$out" "$@"
