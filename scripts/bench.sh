#!/usr/bin/env bash
# Runs every benchmark that was built (preset `bench`); each prints its figure and its ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in build/bench/bench/*_bench; do
  echo "== $(basename "$program")"
  "$program"
done
