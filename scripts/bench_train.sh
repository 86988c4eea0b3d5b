#!/bin/sh
# The training step beside the same step in PyTorch's eager mode, in a Python environment of its own under build/ (made on
# first use; POSEFIX_BENCH_TRAIN_ENV names another). Arguments go to bench/train/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_TRAIN_ENV:-}
if [ -z "$environment" ]; then
  environment=build/bench_train_env
  scripts/python_environment.sh "$environment" bench/train/requirements.txt
fi
exec "$environment/bin/python" bench/train/run.py "$@"
