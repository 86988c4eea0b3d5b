#!/bin/sh
# posefix's CPU backend beside ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch, in a Python environment of their own under
# build/ (about 6 GB, made on first use; POSEFIX_BENCH_RUNTIME_ENV names another). Arguments go to bench/runtime/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_RUNTIME_ENV:-}
if [ -z "$environment" ]; then
  environment=build/bench_runtime_env
  scripts/python_environment.sh "$environment" bench/runtime/requirements.txt
fi
exec "$environment/bin/python" bench/runtime/run.py "$@"
