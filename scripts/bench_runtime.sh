#!/bin/sh
# posefix's CPU backend beside ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch, in a Python environment of their own under
# build/ (made on first use; POSEFIX_BENCH_RUNTIME_ENV names another). Arguments go to bench/runtime/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_RUNTIME_ENV:-build/bench_runtime_env}
if [ -z "${POSEFIX_BENCH_RUNTIME_ENV:-}" ]; then
  requirements=bench/runtime/requirements.txt
  if ! cmp -s "$requirements" "$environment/requirements.txt"; then
    echo "making the Python environment $environment (about 6 GB, most of it PyTorch's CUDA libraries)" >&2
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$environment/requirements.txt"
  fi
fi
exec "$environment/bin/python" bench/runtime/run.py "$@"
