# The front door. `make demo` and `make test` are all that a fresh Debian 12 needs; `make help` lists the rest.
PREFIX ?= /usr/local
SECONDS ?= 60
JOBS ?= $(shell nproc)
# Tests run in the build folder, so folders given relative to here are made absolute.
ifdef POSEFIX_GOLDENS
override export POSEFIX_GOLDENS := $(abspath $(POSEFIX_GOLDENS))
endif
ifdef POSEFIX_GOLDEN_DATA
override export POSEFIX_GOLDEN_DATA := $(abspath $(POSEFIX_GOLDEN_DATA))
endif

CTEST := ctest --output-on-failure -j $(JOBS)
# Quiet unless it fails.
configure = mkdir -p build && cmake --preset $(1) >build/configure-$(1).log 2>&1 || { cat build/configure-$(1).log; exit 1; }

.PHONY: all help setup build tests demo demo-train test test-golden test-asan test-tsan test-peers test-torch2 fuzz bench bench-runtime bench-refine bench-evaluate bench-ascend lint install clean

all: build

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## install what is missing from Debian
	@scripts/setup.sh build

build: setup  ## build/release/bin/posefix and models/posefix-s.plan
	@$(call configure,release)
	@cmake --build --preset release -j $(JOBS) --target posefix posefix_s

tests: setup
	@$(call configure,release)
	@cmake --build --preset release -j $(JOBS)

demo: build  ## refine MediaPipe's poses on real pictures with the shipped model, evaluate, draw
	@scripts/demo.sh

demo-train: build  ## train configs/demo.yaml, the demo's network, into runs/demo (goes on where it was stopped)
	@build/release/bin/posefix train --config configs/demo.yaml --out runs/demo --resume

test: tests  ## all tests
	@cd build/release && $(CTEST)

test-golden: tests  ## the tests against golden vectors alone (POSEFIX_GOLDENS, POSEFIX_GOLDEN_DATA choose others)
	@cd build/release && $(CTEST) -L '^golden$$'

test-asan: setup  ## all tests under AddressSanitizer and UBSan
	@$(call configure,asan)
	@cmake --build --preset asan -j $(JOBS)
	@cd build/asan && $(CTEST)

# Every part with threads of its own. Neither LibTorch nor OpenMP is instrumented, so what they order is not seen: the
# training loop, the collective and the cpu backend's kernels are left out. Without randomised addresses where that can be
# had: GCC 12's library knows fewer of them than newer kernels give. Death tests fork while threads run.
TSAN_TESTS := base_test sample_test refine_test evaluate_test report_test dataset_test runtime_test ascend_session_test
test-tsan: setup  ## the threaded parts under ThreadSanitizer
	@mkdir -p build && cmake --preset tsan -DPOSEFIX_TORCH=OFF >build/configure-tsan.log 2>&1 || { cat build/configure-tsan.log; exit 1; }
	@cmake --build --preset tsan -j $(JOBS) --target $(TSAN_TESTS)
	@cd build/tsan && export TSAN_OPTIONS="die_after_fork=0 $$TSAN_OPTIONS" OMP_NUM_THREADS=1 GTEST_FILTER=-OwnConvolutions.* && \
	fixed=$$(setarch -R true 2>/dev/null && echo setarch -R || true) && \
	for program in $(TSAN_TESTS); do echo "$$program" && $$fixed tests/$$program --gtest_brief=1 || exit 1; done

test-peers: build  ## TensorFlow, ONNX Runtime and OpenVINO run what posefix writes (a Python environment under build/)
	@scripts/setup.sh peers
	@cmake --build --preset release -j $(JOBS) --target tensorfile_golden_test
	@scripts/test_peers.sh

test-torch2: setup  ## training and the torch backend on LibTorch 2.x (POSEFIX_TORCH_ROOT, else a Python environment under build/)
	@scripts/setup.sh peers
	@JOBS=$(JOBS) scripts/test_torch2.sh

fuzz: setup  ## libFuzzer over every reader; SECONDS=60 each, TARGETS="onnx plan" for some
	@scripts/setup.sh fuzz
	@$(call configure,fuzz)
	@cmake --build --preset fuzz -j $(JOBS) --target fuzz
	@scripts/fuzz.sh $(SECONDS) $(TARGETS)

bench: setup  ## the benchmarks, each printing its ratio to a peer
	@$(call configure,bench)
	@cmake --build --preset bench -j $(JOBS) --target benchmarks
	@scripts/bench.sh

bench-runtime: setup  ## the CPU backend beside ONNX Runtime, OpenVINO, ncnn, MNN and PyTorch
	@$(call configure,release)
	@cmake --build --preset release -j $(JOBS) --target posefix posefix_shared
	@scripts/setup.sh peers
	@scripts/bench_runtime.sh

bench-refine: setup  ## posefix refine beside the same pipeline in Python with cv2 and OpenVINO
	@$(call configure,release)
	@cmake --build --preset release -j $(JOBS) --target posefix
	@scripts/setup.sh peers
	@scripts/bench_refine.sh

bench-train: setup  ## the training step beside the same step in PyTorch's eager mode
	@$(call configure,bench)
	@cmake --build --preset bench -j $(JOBS) --target train_step_bench
	@scripts/setup.sh peers
	@scripts/bench_train.sh

bench-evaluate: build  ## COCO evaluation side by side with pycocotools, faster-coco-eval and hotcoco
	@scripts/setup.sh peers
	@scripts/bench_evaluate.sh

bench-ascend: build  ## the share of an NPU's time that refine uses, against the stand-in at 20 ms a batch
	@cmake --build --preset release -j $(JOBS) --target ascend_stub_rt ascend_stub_mdl ascend_stub_atc
	@python3 bench/ascend/run.py --program build/release/bin/posefix --stub build/release/ascend_stub

lint: tests  ## clang-format, clang-tidy, include layers
	@scripts/setup.sh lint
	@scripts/lint.sh

install: build  ## PREFIX=/usr/local
	@cmake --install build/release --prefix $(PREFIX)

clean:  ## remove build/
	rm -rf build
