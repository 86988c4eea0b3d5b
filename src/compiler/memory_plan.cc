// One arena: first fit by size, largest tensors first, over the values' lifetimes in steps.
#include <algorithm>
#include <numeric>

#include "compiler/program.h"

namespace posefix::compiler {
namespace {

// Tensors that share one place, because each overwrites the one before it.
struct Place {
  int64_t first = 0;  // step that writes the first of them
  int64_t last = 0;   // step that reads the last of them
  uint64_t bytes = 0;
  uint64_t offset = 0;
};

class MemoryPlanner {
 public:
  explicit MemoryPlanner(plan::Plan& plan)
      : plan_(plan), last_use_(plan.tensors.size(), 0), place_of_(plan.tensors.size(), 0) {
    const auto end = static_cast<int64_t>(plan.steps.size());
    for (int64_t s = 0; s < end; ++s) {
      for (const int32_t id : plan.steps[static_cast<size_t>(s)].inputs) last_use_[static_cast<size_t>(id)] = s;
    }
    for (const plan::KeptTensor& kept : plan.kept) last_use_[static_cast<size_t>(kept.tensor)] = end;
  }

  void run() {
    assign_places();
    assign_offsets();
    for (size_t t = 0; t < plan_.tensors.size(); ++t) plan_.tensors[t].offset = places_[place_of_[t]].offset;
  }

 private:
  // The input whose memory the step may write its result over, or -1.
  int32_t overwritten(const plan::Step& step, int64_t at) const {
    const bool element_wise =
        step.op == plan::Op::kRelu || step.op == plan::Op::kAdd || step.op == plan::Op::kChannelAffine;
    int32_t candidate = -1;
    if (step.op == plan::Op::kConv2d && step.has_residual) candidate = step.inputs.back();
    if (element_wise) candidate = step.inputs[0];
    if (candidate < 0) return -1;
    const plan::TensorInfo& from = plan_.tensors[static_cast<size_t>(candidate)];
    const plan::TensorInfo& to = plan_.tensors[static_cast<size_t>(step.output)];
    const bool is_read_otherwise = std::count(step.inputs.begin(), step.inputs.end(), candidate) != 1;
    const bool fits = from.bytes == to.bytes && last_use_[static_cast<size_t>(candidate)] == at && !is_read_otherwise;
    return fits ? candidate : -1;
  }

  void assign_places() {
    for (size_t s = 0; s < plan_.steps.size(); ++s) {
      const plan::Step& step = plan_.steps[s];
      if (step.output < 0) continue;
      const auto at = static_cast<int64_t>(s);
      const auto out = static_cast<size_t>(step.output);
      const int64_t last = std::max(at, last_use_[out]);
      const int32_t source = overwritten(step, at);
      if (source >= 0) {
        place_of_[out] = place_of_[static_cast<size_t>(source)];
        places_[place_of_[out]].last = last;
      } else {
        place_of_[out] = places_.size();
        places_.push_back({at, last, plan_.tensors[out].bytes, 0});
      }
    }
  }

  void assign_offsets() {
    std::vector<size_t> order(places_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return places_[a].bytes > places_[b].bytes; });
    std::vector<size_t> done;
    for (const size_t index : order) {
      Place& place = places_[index];
      std::vector<std::pair<uint64_t, uint64_t>> taken;  // by places that live at the same time
      for (const size_t other : done) {
        const Place& o = places_[other];
        if (o.first <= place.last && place.first <= o.last) taken.emplace_back(o.offset, o.offset + o.bytes);
      }
      std::sort(taken.begin(), taken.end());
      for (const auto& [begin, end] : taken) {
        if (place.offset + place.bytes <= begin) break;
        place.offset = std::max(place.offset, end);
      }
      plan_.arena_bytes = std::max(plan_.arena_bytes, place.offset + place.bytes);
      done.push_back(index);
    }
  }

  plan::Plan& plan_;
  std::vector<int64_t> last_use_;
  std::vector<size_t> place_of_;
  std::vector<Place> places_;
};

}  // namespace

void plan_memory(plan::Plan& plan) {
  plan.arena_bytes = 0;
  MemoryPlanner(plan).run();
}

}  // namespace posefix::compiler
