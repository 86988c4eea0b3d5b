#!/bin/sh
# The own kernels for aarch64, run by an emulator: cross-compiles their unit test (portable kernels, Winograd, 1x1) and
# runs it under qemu. By hand, not part of `make test`; needs Debian's g++-aarch64-linux-gnu, qemu-user and googletest. Only headers
# of the libraries are used, so nothing of the host's architecture is linked.
set -eu
cd "$(dirname "$0")/.."
compiler=${CXX_AARCH64:-aarch64-linux-gnu-g++}
for program in "$compiler" qemu-aarch64; do
  command -v "$program" >/dev/null || {
    echo "$program is missing: apt-get install g++-aarch64-linux-gnu qemu-user googletest" >&2
    exit 2
  }
done
work=build/aarch64
mkdir -p "$work/include"
# Apart from the host's other headers, which are not for this compiler.
for name in fmt gtest gmock oneapi; do ln -sfn "/usr/include/$name" "$work/include/$name"; done
kernels=src/runtime/backends/cpu
"$compiler" -std=c++20 -O2 -Wall -Wextra -Wno-psabi -ffp-contract=fast -fopenmp -static -DFMT_HEADER_ONLY \
  -Isrc -isystem "$work/include" -I/usr/src/googletest/googletest \
  "$kernels"/blocked/convolution_test.cc "$kernels"/blocked/winograd.cc "$kernels"/blocked/pointwise.cc \
  "$kernels"/blocked/kernels.cc "$kernels"/blocked/kernels_portable.cc "$kernels"/aligned.cc src/base/error.cc \
  src/base/rng.cc /usr/src/googletest/googletest/src/gtest-all.cc /usr/src/googletest/googletest/src/gtest_main.cc \
  -o "$work/convolution_test"
OMP_NUM_THREADS=2 qemu-aarch64 "$work/convolution_test"
