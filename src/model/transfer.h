// Takes a network's weights from a file that was made elsewhere: ImageNet weights, a whole PoseFix network, or one of
// another joint count.
//
// Invariant: every variable of the network and every tensor of the file ends up in the report; nothing is skipped in
// silence. The first layer takes a three-channel filter into its first three input channels (the picture), the others
// (the rendered joints) keep their values. Source: PoseFix_RELEASE lib/nets, load_model.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace posefix::model {

struct TransferSource {
  NamedTensors tensors;
  std::string name;                 // for messages
  std::vector<std::string> joints;  // names, if the file knows them
};

struct TransferRow {
  std::string outcome;  // "loaded", "partly", "initial", "ignored", "state", "dropped"
  std::string name;
  std::string detail;
};

struct Transfer {
  NamedTensors variables;  // the network's
  NamedTensors state;      // "optimizer/m/NAME", "optimizer/v/NAME", if the file holds Adam's slots for all of it
  int64_t step = 0;        // optimiser steps behind `state`
  bool step_known = true;  // false: at least `step`; see kMostCountedSteps
  std::vector<TransferRow> rows;
};

// The file tells Adam's steps by beta2_power = 0.999^(step + 1), which float32 holds for so many.
inline constexpr int64_t kMostCountedSteps = 87000;

// `initial`: a value for every variable that the file does not give in the network's shape; `joints`: names of the
// network's. Without `partial`, variables that are missing or of another shape and tensors that the network does not
// have are an Error (bad input) with one table; with it, what fits is taken (joints by name where both sides have
// names).
Transfer transfer(const graph::Graph& graph, NamedTensors initial, const std::vector<std::string>& joints,
                  const TransferSource& source, bool partial);

}  // namespace posefix::model
