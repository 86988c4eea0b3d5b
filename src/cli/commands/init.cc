// posefix init: a snapshot of a configuration's network, with fresh weights or weights taken from another file.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/options.h"
#include "cli/command.h"
#include "cli/network_file.h"
#include "model/posefix_net.h"
#include "model/transfer.h"
#include "pose/skeleton.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/snapshot.h"

namespace posefix::cli {
namespace {

struct InitFlags {
  std::string config;
  std::string out;
  std::string from;
  std::vector<std::string> set;
  int64_t step = -1;
  bool partial = false;
  bool weights_only = false;
  bool json = false;
};

struct Configuration {
  model::ModelConfig model;
  int64_t seed = 1;
  std::string yaml;  // resolved
};

Configuration read_configuration(const InitFlags& flags) {
  Configuration configuration;
  Options options;
  model::add_options(options, configuration.model);
  options.add("train.seed", &configuration.seed, "of initial weights");
  for (const char* section : {"train", "data", "augment", "calibrate", "validation"}) options.pass_over(section);
  options.load(flags.config);
  for (const std::string& assignment : flags.set) options.set(assignment);
  configuration.yaml = options.resolved_yaml();
  return configuration;
}

void read_joints(const std::map<std::string, std::string>& metadata, model::TransferSource& source) {
  const auto skeleton = metadata.find("posefix.skeleton");
  if (skeleton == metadata.end() || skeleton->second.empty()) return;
  source.joints = pose::Skeleton::parse(skeleton->second, source.name + ": posefix.skeleton").joints;
}

model::TransferSource read_source(const std::string& path) {
  model::TransferSource source;
  source.name = path;
  if (is_exported_model(path)) {
    NetworkFile network = read_network_file(path);
    source.tensors = std::move(network.weights);
    read_joints(network.metadata, source);
    return source;
  }
  tensorfile::Checkpoint checkpoint = tensorfile::open_checkpoint(path);
  tensorfile::check_sound(checkpoint);
  read_joints(checkpoint.metadata, source);
  for (tensorfile::CheckpointTensor& tensor : checkpoint.tensors) {
    source.tensors.emplace(tensor.name, std::move(tensor.value));
  }
  return source;
}

void print_table(const InitFlags& flags, const model::Transfer& transfer) {
  std::map<std::string, int64_t> counts;
  for (const model::TransferRow& row : transfer.rows) ++counts[row.outcome];
  if (flags.json) {
    nlohmann::ordered_json json = {{"from", flags.from},
                                   {"counts", counts},
                                   {"step", transfer.step},
                                   {"step_known", transfer.step_known},
                                   {"rows", nlohmann::ordered_json::array()}};
    for (const model::TransferRow& row : transfer.rows) {
      json["rows"].push_back({{"outcome", row.outcome}, {"name", row.name}, {"detail", row.detail}});
    }
    print_json(json);
    return;
  }
  for (const auto& [outcome, count] : counts)
    std::printf("%-8s %lld\n", outcome.c_str(), static_cast<long long>(count));
  for (const model::TransferRow& row : transfer.rows) {
    const bool expected = row.outcome == "loaded" || row.outcome == "state";
    if (!expected) std::printf("  %-8s %-64s %s\n", row.outcome.c_str(), row.name.c_str(), row.detail.c_str());
  }
  if (!transfer.state.empty()) {
    std::printf("Adam's state after %s%lld steps was taken over%s\n", transfer.step_known ? "" : "at least ",
                static_cast<long long>(transfer.step),
                transfer.step_known ? "" : "; give the exact number with --step for the schedule");
  }
}

// What is taken of the file's training state, as the flags want it.
void choose_state(const InitFlags& flags, model::Transfer& transfer) {
  if (flags.weights_only) {
    for (model::TransferRow& row : transfer.rows) {
      if (row.outcome == "state") row = {"dropped", row.name, "--weights-only"};
    }
    transfer.state.clear();
    transfer.step = 0;
  } else if (flags.step >= 0) {
    if (transfer.state.empty()) throw bad_input("--step: {} holds no state of Adam's to go with it", flags.from);
    transfer.step = flags.step;
    transfer.step_known = true;
  }
}

void run(const InitFlags& flags) {
  const Configuration configuration = read_configuration(flags);
  std::fprintf(stderr, "%s", configuration.yaml.c_str());
  const pose::Skeleton skeleton = pose::Skeleton::load(configuration.model.skeleton);
  const graph::Graph graph = model::build(configuration.model, skeleton.size());
  tensorfile::Snapshot snapshot;
  const auto seed = static_cast<uint64_t>(configuration.seed);
  int64_t step = 0;
  if (flags.from.empty()) {
    snapshot.variables = model::initialise(graph, seed);
    if (flags.json) print_table(flags, model::Transfer{});
  } else {
    const model::TransferSource source = read_source(flags.from);
    model::Transfer transfer = model::transfer(graph, model::initialise_rest(graph, seed, source.tensors),
                                               skeleton.joints, source, flags.partial);
    choose_state(flags, transfer);
    print_table(flags, transfer);
    snapshot.variables = std::move(transfer.variables);
    snapshot.state = std::move(transfer.state);
    step = transfer.step;
  }
  snapshot.metadata = {{"posefix.config", configuration.yaml},
                       {"posefix.skeleton", skeleton.yaml},
                       {"posefix.step", std::to_string(step)}};
  tensorfile::write_snapshot(flags.out, snapshot);
  std::fprintf(stderr, "wrote %s: %zu variables\n", flags.out.c_str(), snapshot.variables.size());
}

std::function<void()> setup(CLI::App& app) {
  const auto flags = std::make_shared<InitFlags>();
  app.add_option("--config", flags->config, "the network's configuration (YAML)")->required();
  app.add_option("--out", flags->out, "the snapshot to write (.safetensors)")->required();
  app.add_option("--from", flags->from,
                 "take weights from: TensorFlow V1 file, V2 prefix, safetensors, frozen .pb, .onnx; ImageNet's or a "
                 "whole PoseFix");
  app.add_option("--set", flags->set, "key=value, over the configuration")->take_all();
  app.add_flag("--partial", flags->partial, "take what fits from a file of another network");
  const auto weights_only = app.add_flag("--weights-only", flags->weights_only,
                                         "leave out Adam's state: train.start_from then begins at step 0");
  app.add_option("--step", flags->step, "optimiser steps behind Adam's state, where the file does not tell them")
      ->check(CLI::NonNegativeNumber)
      ->excludes(weights_only);
  app.add_flag("--json", flags->json, "print what was taken as JSON");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"init", "a new snapshot, with fresh weights or weights of another file", &setup};

}  // namespace
}  // namespace posefix::cli
