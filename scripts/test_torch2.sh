#!/bin/sh
# Training and the torch backend on LibTorch 2.x, in build/torch2. LibTorch is that of POSEFIX_TORCH_ROOT (a folder with
# include/ and lib/, e.g. site-packages/torch), else of a Python environment made on first use under build/: the CPU
# wheel where its index answers (about 1 GB), else the one from PyPI with CUDA's libraries (about 5 GB).
set -eu
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
if [ -z "${POSEFIX_TORCH_ROOT:-}" ]; then
  environment=build/torch2_env
  if ! "$environment/bin/python" -c 'import torch' 2>/dev/null; then
    echo "making the Python environment $environment (PyTorch)" >&2
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --retries 1 --timeout 20 \
      --extra-index-url https://download.pytorch.org/whl/cpu 'torch>=2.6' numpy
  fi
  POSEFIX_TORCH_ROOT=$("$environment/bin/python" -c 'import torch; print(torch.__path__[0])')
fi
programs="torchgraph_golden_test train_test train_golden_test torch_backend_test recording_test fake_npu_test distributed_test"
cmake --preset release -B build/torch2 -DPOSEFIX_TORCH_ROOT="$POSEFIX_TORCH_ROOT" >build/configure-torch2.log 2>&1 ||
  { cat build/configure-torch2.log; exit 1; }
grep -h 'LibTorch\|NCCL\|HCCL' build/configure-torch2.log
# shellcheck disable=SC2086
cmake --build build/torch2 -j "$jobs" --target posefix $programs
for program in $programs; do "build/torch2/tests/$program" --gtest_brief=1; done
