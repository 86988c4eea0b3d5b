#!/usr/bin/env bash
# The whole life of a model on the sample pictures, in a few minutes: train, compile, refine, evaluate, draw.
# Everything it writes lies in build/demo. POSEFIX_DEMO_SECONDS bounds the training (default 180).
set -euo pipefail
cd "$(dirname "$0")/.."

posefix=build/release/bin/posefix
out=build/demo
data=examples/coco-mini
annotations=$data/annotations/person_keypoints_val2017.json
pictures=$data/images/val2017
poses=$data/input_pose/mediapipe_full_val2017_results.json
picture=$pictures/000000397133.jpg

step() { printf '\n== %s\n' "$*"; }
# number NAME: the first number after "NAME": in JSON on stdin.
number() { grep -o "\"$1\": *-\?[0-9.e+-]*" | head -n 1 | sed 's/.*: *//'; }
percent() { awk -v value="$1" 'BEGIN { printf value < 0 ? "-" : "%.1f", 100 * value }'; }

rm -rf "$out"
mkdir -p "$out"

step "train a narrow network on the sample pictures (configs/demo.yaml)"
status=0
timeout --signal=INT --preserve-status "${POSEFIX_DEMO_SECONDS:-180}" \
  "$posefix" train --config configs/demo.yaml --out "$out/run" || status=$?
# 130: the time was up; the run stopped in good order and its newest snapshot is used.
[ "$status" -eq 0 ] || [ "$status" -eq 130 ] || exit "$status"

step "compile it into an offline model for this CPU"
"$posefix" compile "$out/run/last.safetensors" --target cpu --out "$out/demo.plan"

step "refine MediaPipe's poses of pictures that it was not trained on"
"$posefix" refine "$out/demo.plan" --images "$pictures" --poses "$poses" --annotations "$annotations" \
  --out "$out/refined.json" --json >"$out/refine.json"
"$posefix" refine "$out/demo.plan" --image "$picture" --poses "$poses" --draw "$out/before_after.png"

step "evaluate, and draw a contact sheet"
"$posefix" evaluate --annotations "$annotations" --results "$out/refined.json" --baseline "$poses" --json \
  >"$out/evaluation.json"
"$posefix" report --annotations "$annotations" --images "$pictures" --poses "$poses" --results "$out/refined.json" \
  --title "posefix: MediaPipe's poses before and after" --out "$out/contact_sheet.html"

after=$(number AP <"$out/evaluation.json")
before=$(sed -n '/"baseline"/,$p' "$out/evaluation.json" | number AP)
printf '\n'
printf '  %-24s %s\n' "AP of the input poses" "$(percent "$before")" \
  "AP after refinement" "$(percent "$after")" \
  "persons per second" "$(number people_per_second <"$out/refine.json")" \
  "a picture" "$out/before_after.png" \
  "contact sheet" "$out/contact_sheet.html" \
  "figures" "$out/evaluation.json"
