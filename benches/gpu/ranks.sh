#!/usr/bin/env bash
# Measures how fast GPUs add up gradients, by NCCL and by way of host memory, and steps on all of them.
#
#   benches/gpu/ranks.sh BUNDLE OUT [options of `ijepa bench sum`]
#
# BUNDLE has ijepa.tar.xz of build.sh with GPU_FEATURES=cuda,nccl,mpi (for one GPU: cuda,nccl).
# OUT/sums.jsonl has a line for each number of GPUs and each way, OUT/steps.txt the median step and
# what of it went into adding up gradients, in milliseconds.
#
# Environment:
#   GPUS       numbers of GPUs (default: 1 and as many as there are)
#   RECIPE     of the steps (default: imagenette_vit_s16), with a group of 64 images for each GPU
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(realpath "$1")
out=$(realpath -m "$2")
shift 2
recipe=${RECIPE:-imagenette_vit_s16}
gpus=${GPUS:-$(printf '1\n%s\n' "$(nvidia-smi --list-gpus | wc -l)" | sort -nu)}

source "$here/unpack.sh"
cd "$work"
# ijepa as this many processes.
on() {
  local processes=$1
  shift
  if [[ $processes == 1 ]]; then ./ijepa "$@"; else mpirun -n "$processes" ./ijepa "$@"; fi
}
# The median of a column of metrics.csv, without the first rows, which compile and tune kernels.
median() {
  awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
    NR > 6 && at { print $at }' "$2" | sort -g | awk '{ all[NR] = $1 } END { print NR ? all[int((NR + 1) / 2)] : "-" }'
}

rm -f "$out/sums.jsonl" "$out/steps.txt"
for number in $gpus; do
  for way in "" --host; do
    # shellcheck disable=SC2086 # no way is no argument
    on "$number" bench sum --device cuda --json $way "$@" | tee -a "$out/sums.jsonl"
  done
  run="$out/steps-$number"
  rm -rf "$run"
  on "$number" pretrain --recipe "$recipe" --data scenes:n=4096,size=224 --device cuda --out "$run" \
    --max-steps 30 --quiet --set mask.group_size=64 run.batch_size=$((64 * number)) \
    run.log_every_steps=1 > "$out/pretrain-$number.txt"
  echo "$number GPUs: step $(median step_ms "$run/metrics.csv"), gradients $(median communication_ms "$run/metrics.csv")" |
    tee -a "$out/steps.txt"
done
