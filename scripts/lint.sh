#!/usr/bin/env bash
# clang-format over every tracked source, clang-tidy over what is compiled, and the include-layer test.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "lint: clang-format"
git ls-files '*.h' '*.hpp' '*.cc' '*.c' | xargs clang-format --dry-run --Werror

echo "lint: include layers"
ctest --test-dir build/release -R '^IncludeLayers' --output-on-failure | tail -n 3

echo "lint: clang-tidy"
# Precompiled headers are GCC's; clang-tidy reads the same headers itself.
mkdir -p build/lint
sed -e 's/-Winvalid-pch//g; s/-include [^ ]*cmake_pch[^ ]*//g' build/release/compile_commands.json \
  > build/lint/compile_commands.json
git ls-files 'src/*.cc' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/lint 2>build/lint/warnings.log || {
  tail -n 40 build/lint/warnings.log
  exit 1
}
echo "lint: clean"
