// folders: train
// Training steps per second of a network on the CPU, several variants interleaved in one run.
//
//   train_step_bench WIDTH HEIGHTxWIDTH BATCH THREADS ROUNDS VARIANT...
// A variant is a precision (f32, bf16, f16), with "+channels_last" if wanted. Each round runs every variant once;
// printed is the round of each that took least CPU time, with its ratio to the first variant.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "model/posefix_net.h"
#include "torchgraph/device.h"
#include "train/trainer.h"

namespace {

using namespace posefix;
constexpr int64_t kJoints = 17;

struct Variant {
  std::string name;
  std::unique_ptr<train::Trainer> trainer;
  double best_s = 1e30;
};

// CPU time of all threads: a busy machine does not count.
double cpu_s() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

sample::Batch noise(int64_t batch_size, int64_t height, int64_t width) {
  Rng rng(1, 0, 0);
  sample::Batch batch;
  batch.size = batch_size;
  batch.crops.resize(static_cast<size_t>(batch_size * height * width * 3));
  for (uint8_t& value : batch.crops) value = static_cast<uint8_t>(rng.next_u32());
  batch.pose.resize(static_cast<size_t>(batch_size * kJoints * 2));
  for (float& value : batch.pose) value = static_cast<float>(rng.uniform(0, static_cast<double>(width)));
  batch.target = batch.pose;
  batch.valid.assign(static_cast<size_t>(batch_size * kJoints), 1);
  batch.target_valid = batch.valid;
  return batch;
}

void run(std::span<char*> arguments) {
  if (arguments.size() < 6) throw bad_input("train_step_bench WIDTH HEIGHTxWIDTH BATCH THREADS ROUNDS VARIANT...");
  const std::string size = arguments[1];
  model::ModelConfig config;
  config.width = arguments[0];
  config.input_size = {std::stoll(size), std::stoll(size.substr(size.find('x') + 1))};
  train::TrainConfig recipe;
  recipe.batch_size = std::stoll(arguments[2]);
  torchgraph::keep_freed_memory();  // as posefix train
  const int threads = torchgraph::fix_threads(std::stoi(arguments[3]));
  const graph::Graph graph = model::build(config, kJoints);
  const NamedTensors weights = model::initialise(graph, 1);
  const sample::Batch batch = noise(recipe.batch_size, config.height(), config.width_px());

  std::vector<Variant> variants;
  for (const std::string name : arguments.subspan(5)) {
    recipe.precision = name.substr(0, name.find('+'));
    recipe.channels_last = name.ends_with("+channels_last");
    variants.push_back({name, std::make_unique<train::Trainer>(graph, weights, recipe, "cpu")});
  }
  for (int round = 0; round <= std::stoi(arguments[4]); ++round) {
    for (Variant& variant : variants) {
      const double begin = cpu_s();
      variant.trainer->compute_gradients(batch);
      variant.trainer->update(1e-4);
      const double elapsed = (cpu_s() - begin) / threads;
      if (round > 0) variant.best_s = std::min(variant.best_s, elapsed);  // the first round warms up
    }
  }
  fmt::print("resnet50 {} {} batch {}, LibTorch {}\n", config.width, size, batch.size, torchgraph::libtorch_version());
  for (const Variant& variant : variants) {
    fmt::print("{:<24}{:>9.2f} samples/s{:>8.2f} x {}\n", variant.name,
               static_cast<double>(batch.size) / variant.best_s, variants[0].best_s / variant.best_s, variants[0].name);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
