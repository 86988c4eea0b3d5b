#!/usr/bin/env bash
# COCO evaluation against pycocotools, faster-coco-eval and hotcoco, in a Python environment under build/.
# ROUNDS (default 9) says how often each is timed.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=build/bench-evaluate/venv
problem=build/bench-evaluate/problem
scripts/python_environment.sh "$environment" bench/evaluate/requirements.txt
if [ ! -f "$problem/results.json" ] || [ bench/evaluate/make_problem.py -nt "$problem/results.json" ]; then
  python3 bench/evaluate/make_problem.py tests/golden_data/eval/coco_val2017_slice/person_keypoints_val2017.json \
    tests/golden/evaluate/coco/b_noisy_val2017_slice.dt.json "$problem"
fi
"$environment/bin/python" bench/evaluate/run.py build/release/bin/posefix \
  "$problem/annotations.json" "$problem/results.json" "${ROUNDS:-9}"
