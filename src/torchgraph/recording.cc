#include "torchgraph/recording.h"

#include <c10/util/Exception.h>

#include <utility>

#include "base/error.h"
#include "base/module.h"
#include "torchgraph/device.h"

namespace posefix::torchgraph {

Recorder open_recorder(const at::Device& device, const std::string& option) {
  const std::string library = recorder_library(device_name(device));
  if (library.empty()) {
    throw bad_input("{}: nothing records the work of device {}; only cuda has graphs, leave it out here", option,
                    device_name(device));
  }
  const std::string hint = option + " needs it; docs/refine.md says when it is built";
  return {reinterpret_cast<RecordWork*>(load_from_module(library, kRecordWork, hint)), option};
}

RecordedWork::RecordedWork(const at::Device& device, Recorder recorder, Work work)
    : device_(device), recorder_(std::move(recorder)), work_(std::move(work)) {}

const std::vector<at::Tensor>& RecordedWork::run() {
  if (recording_ != nullptr) {
    first_.clear();
    recording_->replay();
    return recorded_;
  }
  const auto twice = [this] { first_ = std::exchange(recorded_, work_()); };
  try {
    recorder_.record(device_, twice, &recording_);
  } catch (const c10::Error& error) {
    throw failed("{}: the work could not be recorded on {}, leave it out: {}", recorder_.option, device_name(device_),
                 error.what_without_backtrace());
  }
  return first_;
}

}  // namespace posefix::torchgraph
