#!/bin/sh
# The training step beside the same step in PyTorch's eager mode, in a Python environment of its own under build/ (made on
# first use; POSEFIX_BENCH_TRAIN_ENV names another). Arguments go to bench/train/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_TRAIN_ENV:-build/bench_train_env}
if [ -z "${POSEFIX_BENCH_TRAIN_ENV:-}" ]; then
  requirements=bench/train/requirements.txt
  if ! cmp -s "$requirements" "$environment/requirements.txt"; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$environment/requirements.txt"
  fi
fi
exec "$environment/bin/python" bench/train/run.py "$@"
