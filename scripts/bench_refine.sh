#!/bin/sh
# `posefix refine` beside the same pipeline in Python with cv2 and OpenVINO, in a Python environment of its own under
# build/ (made on first use; POSEFIX_BENCH_REFINE_ENV names another). Arguments go to bench/refine/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_REFINE_ENV:-}
if [ -z "$environment" ]; then
  environment=build/bench_refine_env
  scripts/python_environment.sh "$environment" bench/refine/requirements.txt
fi
exec "$environment/bin/python" bench/refine/run.py "$@"
