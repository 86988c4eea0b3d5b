#!/usr/bin/env bash
# clang-format over every tracked source, clang-tidy over what is compiled, and the include-layer test.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "lint: clang-format"
git ls-files '*.h' '*.hpp' '*.cc' '*.c' | xargs clang-format --dry-run --Werror

echo "lint: include layers"
ctest --test-dir build/release -R '^IncludeLayers' --output-on-failure | tail -n 3

# LibTorch's headers of Debian 12 do not compile with Debian 12's clang in C++20, so the folders that see them are left
# to GCC's warnings; tests are left out for time.
echo "lint: clang-tidy"
mkdir -p build/lint  # clang cannot read GCC's precompiled headers; what they hold is included in the sources anyway
sed 's/-include [^ "]*cmake_pch\.hxx//' build/release/compile_commands.json >build/lint/compile_commands.json
git ls-files 'src/*.cc' | grep -vE '_test\.cc$|^src/(torchgraph|train|runtime/backends/torch)/|/absent/|/doctor/torch\.cc$' |
  xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/lint 2>/dev/null
echo "lint: clean"
