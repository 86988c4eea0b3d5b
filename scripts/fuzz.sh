#!/bin/sh
# fuzz.sh [SECONDS [TARGET...]]: runs every fuzz target, or those named (onnx plan), for SECONDS (default 60) each on
# corpora made from the goldens. Finds stay under build/fuzz/finds. What a reader may hold is bounded by its input's size
# in the targets themselves (fuzz/memory_bound.h); the limits here are for what is outside of that. The one on time is
# wall time, so it leaves room for a loaded machine.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
goldens=${POSEFIX_GOLDENS:-tests/golden}
corpora=build/fuzz/corpora
finds=build/fuzz/finds
mkdir -p "$finds" "$corpora/checkpoint_v1" "$corpora/checkpoint_v2" "$corpora/safetensors" "$corpora/image"

# A V2 checkpoint is one input: index, data, length of the data.
join_v2() {
  for index in "$goldens"/checkpoints/*/*.index; do
    data=$(ls "${index%.index}".data-00000-of-* 2>/dev/null | head -n 1)
    [ -n "$data" ] || continue
    size=$(wc -c <"$data")
    [ "$size" -lt 100000 ] || continue
    target="$corpora/checkpoint_v2/$(basename "${index%.index}")"
    cat "$index" "$data" >"$target"
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) $((size >> 24 & 255)))" >>"$target"
  done
}
all=$(for target in build/fuzz/fuzz/fuzz_*; do basename "$target" | sed 's/^fuzz_//'; done)
for name in "$@"; do
  echo "$all" | grep -qx "$name" || {
    echo "fuzz.sh: there is no target '$name'; there are:" $all >&2
    exit 2
  }
done
for name in $all; do mkdir -p "$corpora/$name"; done
cp "$goldens"/checkpoints/v1/dtypes* "$goldens"/checkpoints/v1/partitioned* "$corpora/checkpoint_v1/" 2>/dev/null || true
for file in "$goldens"/checkpoints/corrupt/*v1*; do cp "$file" "$corpora/checkpoint_v1/"; done
join_v2
cp "$goldens"/network/*.safetensors "$goldens"/frozen/*.safetensors "$corpora/safetensors/" 2>/dev/null || true
# The frozen goldens are too large for a fast start; the tiny ones use every operator.
build/fuzz/fuzz/seeds/fuzz_seeds "$corpora"
find "$goldens"/crop "${POSEFIX_GOLDEN_DATA:-tests/golden_data}" -name '*.png' -size -60k -o -name '*.jpg' -size -60k |
  while read -r picture; do cp "$picture" "$corpora/image/"; done

# libFuzzer's own word on what it did is in the log's last lines; the table at the end is made of it.
failed=0
table=$(printf '%-16s %12s %8s  %s' target executions seconds result)
for name in ${*:-$all}; do
  target=build/fuzz/fuzz/fuzz_$name
  echo "fuzz: $name for $seconds s" >&2
  log=build/fuzz/$name.log
  result="no find"
  begin=$(date +%s)
  "$target" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=1500 -malloc_limit_mb=128 -print_final_stats=1 \
    -verbosity=0 -artifact_prefix="$finds/$name-" "$corpora/$name" >"$log" 2>&1 || {
    failed=1
    tail -n 40 "$log" >&2
    find=$(sed -n 's/.*Test unit written to //p' "$log" | head -n 1)
    result="FOUND ${find:-something without a file}, see $log"
  }
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  table="$table
$(printf '%-16s %12s %8s  %s' "$name" "${executions:-?}" $(($(date +%s) - begin)) "$result")"
done
echo "$table"
exit $failed
