#!/bin/sh
# run.sh BUILD SOURCE MAKE_PLAN SANITIZE CC TRAINS: installs into a fresh folder, builds and runs the examples there.
set -eu
build=$1 source=$2 make_plan=$3 sanitize=$4 cc=$5 trains=$6
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
flags=
[ -z "$sanitize" ] || flags="-fsanitize=$sanitize"

cmake --install "$build" --prefix "$root/prefix" >"$root/install.log" || { cat "$root/install.log"; exit 1; }
"$make_plan" "$root/model.plan"
for language in c cpp; do
  cmake -S "$source/examples/$language" -B "$root/$language" -DCMAKE_PREFIX_PATH="$root/prefix" \
    -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" >"$root/log" || { cat "$root/log"; exit 1; }
  cmake --build "$root/$language" >"$root/log" || { cat "$root/log"; exit 1; }
  "$root/$language/refine" "$root/model.plan"
done

pc=$(dirname "$(find "$root/prefix" -name posefix.pc)")
# shellcheck disable=SC2046  # the flags are words
$cc $flags "$source/examples/c/refine.c" $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs posefix) -o "$root/refine"
LD_LIBRARY_PATH=$(dirname "$pc") "$root/refine" "$root/model.plan" >/dev/null

# The installed program finds the library that trains.
if [ "$trains" = ON ]; then
  (cd "$source" && "$root/prefix/bin/posefix" train --config configs/demo.yaml --out "$root/run" --steps 1 \
    --set model.width=1/16 --set train.batch_size=2 --set train.threads=1 >"$root/log" 2>&1) || { cat "$root/log"; exit 1; }
  [ -s "$root/run/last.safetensors" ]
fi

# A damaged model is refused with a message and no crash.
printf 'x' >>"$root/model.plan"
if "$root/c/refine" "$root/model.plan" 2>"$root/log"; then echo "a damaged plan was opened"; exit 1; fi
grep -q offset "$root/log"
