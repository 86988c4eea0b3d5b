// A whole network from any file that holds one: a snapshot, a frozen TensorFlow graph or an ONNX model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "graph/graph.h"
#include "pose/skeleton.h"
#include "runtime/session.h"

namespace posefix::cli {

struct NetworkFile {
  graph::Graph graph;
  NamedTensors weights;                         // fit the graph
  std::map<std::string, std::string> metadata;  // the file's
  std::string config_yaml;                      // "" if the file does not say
  std::string skeleton_yaml;                    // "" if the file does not say
  std::string trust;                            // calibration as text, "" if the file carries none
};

// Error (bad input) names the file and what is wrong with it.
NetworkFile read_network_file(const std::filesystem::path& path);

// True for a .pb or .onnx file, by name.
bool is_exported_model(const std::filesystem::path& path);

// Error (bad input) for options that only other backends than the one asked for have: device, precision, device_graphs.
void check_session_options(const std::filesystem::path& model, const runtime::SessionOptions& options);

// MODEL of the command line: what compiler::open_model() opens, or a .pb or .onnx file, which is compiled in memory as
// snapshots are. Error (bad input) names the file.
std::unique_ptr<runtime::Session> open_network(const std::filesystem::path& path,
                                               const runtime::SessionOptions& options);

// Error (bad input) if `asked` persons a run (--batch) are not what the session takes: an .om has a batch of its own.
void check_batch(const std::filesystem::path& model, const runtime::Session& session, int64_t asked);

}  // namespace posefix::cli
