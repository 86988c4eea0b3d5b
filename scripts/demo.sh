#!/usr/bin/env bash
# The main job on real pictures: the shipped model refines an estimator's poses; they are evaluated and drawn.
# Everything it writes lies in build/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

posefix=build/release/bin/posefix
out=build/demo
model=models/posefix-s.plan
data=examples/coco-mini
annotations=$data/annotations/person_keypoints_val2017.json
pictures=$data/images/val2017
poses=$data/input_pose/mediapipe_full_val2017_results.json
picture=$pictures/000000397133.jpg

step() { printf '\n== %s\n' "$*"; }
# number NAME: the first number after "NAME": in JSON on stdin.
number() { grep -o "\"$1\": *-\?[0-9.e+-]*" | head -n 1 | sed 's/.*: *//'; }

rm -rf "$out"
mkdir -p "$out"

step "check the data"
"$posefix" dataset check --annotations "$annotations" --images "$pictures" --poses "$poses" >"$out/check.txt"
tail -n 3 "$out/check.txt"

step "refine MediaPipe's poses with $model"
"$posefix" refine "$model" --images "$pictures" --poses "$poses" --annotations "$annotations" \
  --out "$out/refined.json" --json >"$out/refine.json"

step "evaluate: before, after, and whether the difference is more than noise"
"$posefix" evaluate --annotations "$annotations" --results "$out/refined.json" --baseline "$poses"
"$posefix" evaluate --annotations "$annotations" --results "$out/refined.json" --baseline "$poses" --json \
  >"$out/evaluation.json"

step "draw"
"$posefix" refine "$model" --image "$picture" --poses "$poses" --draw "$out/before_after.png"
"$posefix" report --annotations "$annotations" --images "$pictures" --poses "$poses" --results "$out/refined.json" \
  --title "posefix: MediaPipe's poses before and after" --out "$out/contact_sheet.html"

printf '\n'
printf '  %-24s %s\n' "persons per second" "$(number people_per_second <"$out/refine.json")" \
  "a picture" "$out/before_after.png" \
  "contact sheet" "$out/contact_sheet.html" \
  "figures" "$out/evaluation.json"
printf '\n  The sample has few people: models/README.md says what the model gains on larger sets.\n'
