#!/usr/bin/env bash
# Installs what is missing from Debian 12, by name. Usage: scripts/setup.sh [build] [lint] [fuzz] [peers]
# Works as root and through sudo; says what it does; does nothing (and needs no network) when nothing is missing.
set -euo pipefail

build_packages=(
  build-essential cmake ninja-build ccache git pkg-config
  libtorch-dev libopenblas0-pthread libgloo-dev            # training; OpenBLAS makes its transposed convolutions fast
  libdnnl-dev                                              # the CPU runtime
  libjpeg-dev libpng-dev libopencv-core-dev libopencv-imgproc-dev
  nlohmann-json3-dev libyaml-cpp-dev
  protobuf-compiler libprotobuf-dev libsnappy-dev zlib1g-dev libmatio-dev
  libcli11-dev libfmt-dev libspdlog-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
lint_packages=(clang-format clang-tidy clang)
fuzz_packages=(clang libclang-rt-14-dev)
peers_packages=(python3 python3-venv)

wanted=()
for group in "${@:-build}"; do
  list="${group}_packages[@]"
  wanted+=("${!list}")
done

missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup: not root and no sudo; install these as root, then repeat: ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "setup: installing from Debian: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
