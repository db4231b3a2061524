#!/usr/bin/env bash
# Compiles the CUDA kernels of training steps where there is no GPU, and counts their launches.
#
#   benches/gpu/compile.sh [OUT] [options of `ijepa bench step`]      (default: runs/offline)
#
# driver.c stands in for the CUDA driver: it takes every kernel that NVRTC compiles and runs none.
# kernels.py then assembles them with ptxas and prints registers, spills, launches and copies.
# OUT/kernels keeps what was compiled for the next call.
#
# Needs gcc and CUDA 13: libraries, headers and ptxas of the Python packages nvidia-cuda-nvrtc,
# nvidia-cuda-nvcc, nvidia-cuda-runtime and nvidia-cuda-cccl will do.
#
# Environment:
#   CUDA_PATH      folder of include/, lib/ and bin/ (default: that of Python's packages)
#   CAPABILITIES   default: 8.0 9.0
#   STEPS          architectures and their batch sizes (default: vit_s16:64)
#   PRECISIONS     default: f32 bf16
#   IJEPA          a command that was built with CUDA (default: one is built)
#   GPU_FEATURES   Cargo features of the build (default: cuda,ijepa-kernels/cuda-cpp)
#   GPU_PROFILE    Cargo profile of the build (default: dev)
#   GPU_LINK       an object file or flag added to every link; an ordinary machine needs none
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-runs/offline}")
shift $(($# < 1 ? $# : 1))
cuda=${CUDA_PATH:-$(python3 -c 'import nvidia; print(nvidia.__path__[0])')/cu13}

mkdir -p "$out/driver"
gcc -shared -fPIC -O2 -Wall -I"$cuda/include" "$here/driver.c" -o "$out/driver/libcuda.so"

if [[ -z ${IJEPA:-} ]]; then
  [[ -z ${GPU_LINK:-} ]] || export RUSTFLAGS="${RUSTFLAGS:-} -C link-arg=$GPU_LINK"
  cargo build --manifest-path "$here/../../Cargo.toml" --profile "${GPU_PROFILE:-dev}" --workspace \
    --features "${GPU_FEATURES:-cuda,ijepa-kernels/cuda-cpp}" --bin ijepa \
    --message-format=json-render-diagnostics > "$out/build.json"
  IJEPA=$(sed -n 's/.*"name":"ijepa".*"executable":"\([^"]*\)".*/\1/p' "$out/build.json" | tail -1)
fi
ijepa=$(realpath "$IJEPA")

# Few lengths of tokens, as table.py has them, so that few products are tuned.
masks=(mask.mode=uniform mask.length_multiple=16
  "mask.target_scale=[0.185,0.185]" "mask.target_aspect=[1.0,1.0]")
export CUDA_PATH=$cuda LD_LIBRARY_PATH=$out/driver:$cuda/lib
for capability in ${CAPABILITIES:-8.0 9.0}; do
  for step in ${STEPS:-vit_s16:64}; do
    for precision in ${PRECISIONS:-f32 bf16}; do
      run=$out/${step%:*}-sm_${capability/./}-$precision
      rm -rf "$run"
      mkdir -p "$run"
      # CubeCL reads this file from the folder that a program is started in.
      cat > "$run/cubecl.toml" <<TOML
[compilation]
cache = true
[autotune]
level = "minimal"
[environment]
path = { directory = "$out/kernels" }
TOML
      (cd "$run" && OFFLINE_CAPABILITY=$capability OFFLINE_OUT=$run "$ijepa" bench step \
        --device cuda --arch "${step%:*}" --batch-size "${step#*:}" --precision "$precision" \
        --warmup 2 --rounds 2 --json --set "${masks[@]}" "$@" > bench.json 2> bench.log) ||
        { tail -5 "$run/bench.log" >&2; exit 1; }
    done
  done
done
python3 "$here/kernels.py" "$out" "$cuda/bin/ptxas" | tee "$out/report.md"
