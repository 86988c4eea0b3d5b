// The recipe: everything under train. in a configuration file.
//
// Invariant: two runs with equal values here, on one machine and LibTorch, write the same bytes. What must not change
// a result (threads that read data) is no part of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"

namespace posefix::train {

struct TrainConfig {
  int64_t batch_size = 128;  // persons per optimiser step, over all processes
  int64_t accumulate = 1;    // forward passes per optimiser step; divides batch_size
  int64_t seed = 1;
  int64_t epochs = 140;
  std::string start_from;  // a snapshot whose variables, moments and step the run starts with; "": fresh ones

  std::string optimizer = "adam";  // adam (the reference's) or adamw
  double learning_rate = 5e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 1e-5;  // adam: L2 term of the loss on */weights; adamw: decoupled
  double clip_norm = 0;        // of the whole gradient; 0: none

  std::string schedule = "step";               // step or cosine
  std::vector<int64_t> decay_epochs{90, 120};  // step: epochs at whose start the rate falls
  double decay_factor = 0.1;                   // step: by which it falls
  double warmup_epochs = 0;                    // rate rises linearly from 0
  double final_learning_rate = 0;              // cosine: where it ends

  double batch_norm_decay = 0.99;
  bool sync_batch_norm = false;     // batch statistics of all processes rather than of each its own
  double ema_decay = 0;             // of weights, min(this, (1 + step) / (10 + step)); 0: none.
                                    // The snapshot's variables are then the averages.
  std::vector<std::string> frozen;  // prefixes of variables that stay as they are

  int64_t snapshot_every = 500;   // steps
  int64_t keep_last = 3;          // newest snapshots kept beside last.safetensors as step_N.safetensors
  double validate_every = 0;      // epochs, e.g. 0.5; 0: never
  int64_t early_stop = 0;         // validations in a row without a better one after which the run ends; 0: never
  int64_t log_every = 10;         // steps between lines of metrics.jsonl
  int64_t threads = 0;            // of LibTorch; 0: all cores, shared by the machine's processes. Results depend on
                                  // it, so it is stored resolved.
  double timeout_s = 300;         // until a process that does not come to the others counts as stuck
  bool channels_last = false;     // memory order of feature maps
  bool device_graphs = false;     // passes are recorded and replayed, where the device can; one process
  bool blank_image = false;       // the network sees the pose alone, in training and validation
  std::string precision = "f32";  // of feature maps: f32, bf16 or f16; see torchgraph/network.h
};

void add_options(Options& options, TrainConfig& config);

}  // namespace posefix::train
