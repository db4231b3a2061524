#!/usr/bin/env bash
# Pretrains on CIFAR-10 within some minutes of GPU time, and evaluates the target encoder.
#
#   benches/gpu/cifar10.sh BUNDLE OUT DATA [MINUTES] [options of `ijepa pretrain`]
#
# BUNDLE has ijepa.tar.xz of build.sh, DATA train*.parquet and test*.parquet. A run in OUT/run goes on
# where it stopped, so several calls make one.
#
# Environment:
#   RECIPE     default: cifar10_vit_ti4
#   DEVICE     default: cuda
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(realpath "$1")
out=$(realpath -m "$2")
data=$(realpath "$3")
minutes=${4:-8}
shift $(($# < 4 ? $# : 4))
recipe=${RECIPE:-cifar10_vit_ti4}
device=${DEVICE:-cuda}

source "$here/unpack.sh"
cd "$work"
train="parquet:$data/train*.parquet"
test="parquet:$data/test*.parquet"
./ijepa pretrain --recipe "$recipe" --device "$device" --data "$train" --out "$out/run" \
  --max-minutes "$minutes" --json "$@" > "$out/pretrain.json"
cp "$out/run/metrics.csv" "$out/"
for encoder in target random; do
  ./ijepa knn --weights "$out/run" --encoder "$encoder" --train "$train" --test "$test" --k 20 \
    --preprocess squash --batch-size 256 --device "$device" --json > "$out/knn-$encoder.json"
done
if ./ijepa probe --help > /dev/null 2>&1; then
  ./ijepa probe --weights "$out/run" --train "$train" --test "$test" --preprocess squash \
    --batch-size 256 --device "$device" --json > "$out/probe.json"
else
  echo "this binary has no linear probe" | tee "$out/probe.txt"
fi
tail -n +1 "$out"/*.json
