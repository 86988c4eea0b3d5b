#!/bin/sh
# Other programs read what posefix writes: TensorFlow, ONNX Runtime, OpenVINO, onnx, safetensors. They live in a
# Python environment of their own under build/ (about 2 GB, made on first use).
set -eu
cd "$(dirname "$0")/.."
posefix=${POSEFIX:-build/release/bin/posefix}
goldens=${POSEFIX_GOLDENS:-tests/golden}
work=build/peers_work
python=build/peers/bin/python

scripts/python_environment.sh build/peers tests/peers/requirements.txt

rm -rf "$work"
mkdir -p "$work"
printf 'model.width: "1/16"\nmodel.input_size: [256, 192]\n' >"$work/config.yaml"
source_model=$(ls "$goldens"/frozen/*.pb | head -n 1)
"$posefix" init --config "$work/config.yaml" --from "$source_model" --out "$work/model.safetensors" >/dev/null 2>&1
export_model() { "$posefix" export "$work/model.safetensors" "$@" 2>/dev/null; }
export_model --format pb --out "$work/free.pb"
export_model --format onnx --out "$work/free.onnx"
export_model --format onnx --flip --out "$work/flip.onnx"
export_model --format onnx --no-decode --out "$work/logits.onnx"
for batch in 1 4 16; do
  export_model --format pb --batch "$batch" --out "$work/batch$batch.pb"
  export_model --format onnx --batch "$batch" --out "$work/batch$batch.onnx"
done
for opset in 13 14 15 16 17; do export_model --format onnx --opset "$opset" --out "$work/opset$opset.onnx"; done
export_model --format tf-v2 --out "$work/checkpoint_v2"
export_model --format tf-v1 --out "$work/checkpoint_v1"
# Every type that checkpoints hold, written again by the golden test.
TEST_TMPDIR="$PWD/$work" POSEFIX_GOLDENS="$(cd "$goldens" && pwd)" \
  build/release/tests/tensorfile_golden_test --gtest_filter='*WrittenAndReadBack' >/dev/null

failed=0
"$python" tests/peers/check_tensorflow.py --work "$work" --goldens "$goldens" \
  --rewritten "$work/posefix_checkpoint_golden" 2>"$work/tensorflow.log" || failed=1
"$python" tests/peers/check_onnx.py --work "$work" --goldens "$goldens" --posefix "$posefix" 2>"$work/onnx.log" || failed=1
if [ "$failed" -ne 0 ]; then
  grep -h 'Error\|error' "$work"/*.log | tail -n 20 >&2 || true
  echo "test-peers: differences past the tolerance, or a peer failed (logs in $work)" >&2
  exit 1
fi
