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

# refine_set NAME POSES: refines and evaluates the train or val pictures.
refine_set() {
  local name=$1 poses=$2 annotations=$data/annotations/person_keypoints_${1}2017.json
  "$posefix" refine "$out/demo.plan" --images "$data/images/${name}2017" --poses "$poses" \
    --annotations "$annotations" --out "$out/refined_$name.json" --json >"$out/refine_$name.json"
  "$posefix" evaluate --annotations "$annotations" --results "$out/refined_$name.json" --baseline "$poses" --json \
    >"$out/evaluation_$name.json"
}
ap_after() { percent "$(number AP <"$out/evaluation_$1.json")"; }
ap_before() { percent "$(sed -n '/"baseline"/,$p' "$out/evaluation_$1.json" | number AP)"; }

step "refine MediaPipe's poses and evaluate: of pictures that it was trained on, and of others"
refine_set train "$data/input_pose/test_on_trainset/result.json"
refine_set val "$poses"

step "draw"
"$posefix" refine "$out/demo.plan" --image "$picture" --poses "$poses" --draw "$out/before_after.png"
"$posefix" report --annotations "$annotations" --images "$pictures" --poses "$poses" --results "$out/refined_val.json" \
  --title "posefix: MediaPipe's poses before and after" --out "$out/contact_sheet.html"

printf '\n'
printf '  %-40s %10s %10s\n' "AP, percent" "trained on" "not seen" \
  "of the input poses" "$(ap_before train)" "$(ap_before val)" \
  "after refinement" "$(ap_after train)" "$(ap_after val)"
printf '\n'
printf '  %-24s %s\n' "persons per second" "$(number people_per_second <"$out/refine_val.json")" \
  "a picture" "$out/before_after.png" \
  "contact sheet" "$out/contact_sheet.html" \
  "figures" "$out/evaluation_val.json"
printf '\n  Two minutes and 27 people show that the chain runs; they do not make a model that helps on other pictures.\n'
