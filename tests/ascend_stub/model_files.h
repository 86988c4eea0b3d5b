// Small models for the tests, written without the program's own writer.
#pragma once

#include <filesystem>
#include <string>

#include "om_file.h"
#include "runtime/backends/ascend/om_sidecar.h"

namespace ascend_stub {

struct TinyModel {
  int64_t height = 32;
  int64_t width = 24;
  int64_t joints = 3;
  std::vector<int64_t> batches{4};  // several: gears
  std::string image_dtype = "f32";  // f32, f16, or u8 (AIPP)
  std::string output_dtype = "f32";
  std::string soc = "Ascend310P3";
};

// coordinate = pose / 4 + valid * sum(image) * kImageWeight, in heat-map px: every input can be seen in the answer.
inline constexpr float kImageWeight = 1e-5F;
inline constexpr double kMeanBgr[3] = {123.68, 116.78, 103.94};

std::string tiny_graph(int64_t joints);
// A node to append to a graph's bytes: Conv2D and the like get `padding`, and explicit paddings if asked.
std::string extra_node(const std::string& op, const std::string& padding = {}, bool has_explicit_paddings = false);
OmFile tiny_om(const TinyModel& model);
posefix::runtime::ascend::OmSidecar tiny_sidecar(const TinyModel& model);
// Writes M.om and M.om.json into `folder`; returns the path of M.om.
std::filesystem::path write_tiny(const std::filesystem::path& folder, const TinyModel& model);

// A model around any frozen graph with the original port's names. `batch` persons, f32.
std::filesystem::path write_around(const std::filesystem::path& folder, const std::string& graph, int64_t batch,
                                   int64_t height, int64_t width, int64_t joints);

}  // namespace ascend_stub
