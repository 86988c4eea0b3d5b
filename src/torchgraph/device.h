// Devices by name, and the process-wide settings of LibTorch that results depend on.
//
// A device is data: "cpu", "cuda", "cuda:1", "npu", "npu:0", or "auto" (an accelerator when there is one). What a
// device needs beyond LibTorch's core is loaded here at run time (libtorch_cuda, libtorch_npu), so that one build
// serves every machine. No other folder names a device.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace posefix::torchgraph {

// Loads the device's library. Error (bad input) for an unknown name, Error (failed) when the device is not there;
// the message says what was looked for.
at::Device open_device(const std::string& name);

// The name that open_device() takes: "cuda:0".
std::string device_name(const at::Device& device);

// The device of one of a job's processes: "cuda" is "cuda:LOCAL_RANK" when its machine has several of them, "auto"
// likewise. Error (bad input) for a name with a number when `local_world` processes would share it.
std::string device_of_process(const std::string& name, int64_t local_rank, int64_t local_world);

// The library that connects processes on such devices (train/process_group.h); "" for the CPU.
std::string collective_library(const std::string& name);

// The library that records work of such devices (recording.h); "" where there is none.
std::string recorder_library(const std::string& name);

// Deterministic algorithms and a fixed number of threads (0 = available cores): results depend on the number, so a
// resumed run must use the same. Returns the number.
int fix_threads(int threads);

// The process keeps the memory that it frees, for the next step: LibTorch's CPU allocator is malloc, which gets large
// blocks from the system one by one and gives them back, so that every feature map of every step would be zeroed by the
// kernel and mapped page by page again. For a process that trains; it then stays as large as it ever was.
void keep_freed_memory();

// LibTorch's version: "1.13.1".
std::string libtorch_version();

}  // namespace posefix::torchgraph
