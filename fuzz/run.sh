#!/usr/bin/env bash
# Fuzzes what reads bytes from outside: `fuzz/run.sh [SECONDS [TARGET...]]`, by default every target
# for a minute. The project's compiler will do; nothing has to be installed.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
targets=("${@:2}")
if [[ $# -lt 2 ]]; then
  targets=(targets/*.rs)
  targets=("${targets[@]##*/}")
  targets=("${targets[@]%.rs}")
fi

# The versions of the library itself.
[[ -e Cargo.lock ]] || cp ../Cargo.lock .
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=" -Cllvm-args=-sanitizer-coverage-$option"
done
export CARGO_INCREMENTAL=0 RUSTFLAGS="$flags -Cdebug-assertions"
cargo build --release --target "$host"
built=${CARGO_TARGET_DIR:-target}/$host/release

# Inputs become files; in memory where the system has such a folder.
memory=/dev/shm
[[ -d $memory ]] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d -p "$memory")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

CORPUS=corpus "$built/seeds"
broken=()
for target in "${targets[@]}"; do
  echo "== $target"
  mkdir -p "artifacts/$target"
  "$built/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 || broken+=("$target")
done
if [[ ${#broken[@]} -gt 0 ]]; then
  echo "promises were broken: ${broken[*]}" >&2
  exit 1
fi
