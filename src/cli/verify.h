// posefix compile --verify DIR: the accuracy gate. The new model and the same network in f32 on the reference backend
// see the same crops; how far their answers lie apart decides whether the model is good enough.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "pose/skeleton.h"
#include "runtime/session.h"

namespace posefix::cli {

inline constexpr double kMaxApDrop = 0.005;

struct VerifyFlags {
  std::filesystem::path pictures;     // --verify; empty: no verification
  std::filesystem::path poses;        // input poses; without them every picture gets one person with drawn joints
  std::filesystem::path annotations;  // with poses: AP of both models
  std::string device;
  size_t people = 32;              // at most so many
  double max_difference_px = -1;   // worst joint, crop px; negative: no limit
  std::optional<double> max_drop;  // AP may fall by so much: default kMaxApDrop
};

void add_verify_flags(CLI::App& app, VerifyFlags& flags);
// Error (bad input) for flags that do not go together; before anything is compiled.
void check_verify_flags(const VerifyFlags& flags);

// Prints worst and mean difference in crop px, and with annotations AP of both. Error (failed) past a limit: the model
// file stays, for a look at it.
void verify(runtime::Session& model, runtime::Session& reference, const pose::Skeleton& skeleton,
            const VerifyFlags& flags);

}  // namespace posefix::cli
