#!/bin/sh
# `posefix refine` beside the same pipeline in Python with cv2 and OpenVINO, in a Python environment of its own under
# build/ (made on first use; POSEFIX_BENCH_REFINE_ENV names another). Arguments go to bench/refine/run.py.
set -eu
cd "$(dirname "$0")/.."
environment=${POSEFIX_BENCH_REFINE_ENV:-build/bench_refine_env}
if [ -z "${POSEFIX_BENCH_REFINE_ENV:-}" ]; then
  requirements=bench/refine/requirements.txt
  if ! cmp -s "$requirements" "$environment/requirements.txt"; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$environment/requirements.txt"
  fi
fi
exec "$environment/bin/python" bench/refine/run.py "$@"
