#include "runtime/backends/ascend/ascend_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "runtime/backend.h"
#include "runtime/backends/ascend/errors.h"
#include "runtime/backends/ascend/slot.h"

namespace posefix::runtime::ascend {
namespace {

constexpr size_t kSlots = 2;

int32_t timeout_from_environment() {
  const char* text = std::getenv("POSEFIX_ASCEND_TIMEOUT_MS");
  if (text == nullptr) return kDefaultTimeoutMs;
  int32_t timeout_ms = 0;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, timeout_ms);
  if (error == std::errc() && stop == end && timeout_ms > 0) return timeout_ms;
  throw bad_input("$POSEFIX_ASCEND_TIMEOUT_MS must be a positive number of milliseconds, found '{}'", text);
}

OmSidecar read_checked_sidecar(const std::filesystem::path& om) {
  const std::filesystem::path json = sidecar_path(om);
  MappedFile::open(om);  // a missing model before a missing sidecar
  if (!std::filesystem::exists(json)) {
    throw bad_input(
        "{}: its sidecar {} is missing (it says what the inputs and outputs mean); copy it along, or write "
        "one with: posefix inspect {} --write-sidecar",
        om.string(), json.string(), om.string());
  }
  OmSidecar sidecar = read_om_sidecar(json);
  check_om_digest(sidecar, om);
  return sidecar;
}

ModelInfo info_of(const OmSidecar& sidecar) {
  return {sidecar.height(),    sidecar.width(),
          sidecar.joints(),    sidecar.heatmap_stride,
          sidecar.precision,   "ascend",
          sidecar.config_yaml, sidecar.skeleton_yaml,
          sidecar.trust,       sidecar.output("spread") != nullptr};
}

class AscendSession : public Session {
 public:
  AscendSession(const std::filesystem::path& om, OmSidecar sidecar, const SessionOptions& options)
      : sidecar_(std::move(sidecar)),
        info_(info_of(sidecar_)),
        timeout_ms_(timeout_from_environment()),
        device_(device_id(options.device)) {
    check_soc(om);
    memory_.emplace(device_, om.string());
    for (std::unique_ptr<Slot>& slot : slots_) {
      auto model = std::make_unique<Model>(device_, om.string(), *memory_);
      const ModelDescription description = describe(device_, *model);
      check_description(description, sidecar_, om.string());
      slot = std::make_unique<Slot>(device_, std::move(model), description, sidecar_);
    }
  }

  ~AscendSession() override {
    try {
      if (device_.is_abandoned()) return;
      device_.enter();
      drain();
    } catch (const Error&) {
      // The members below are given back as far as the device still answers.
    }
  }

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return sidecar_.batches.back(); }
  int64_t max_in_flight() const override { return kSlots; }

  void run(const CropBatch& input, const RefinedBatch& output) override {
    submit(input, output);
    while (count_ > 0) wait();
  }

  void submit(const CropBatch& input, const RefinedBatch& output) override {
    PFX_CHECK(count_ < kSlots);
    check_batch(info_, max_batch(), input, output);
    guard([&] {
      const int64_t batch = *std::lower_bound(sidecar_.batches.begin(), sidecar_.batches.end(), input.size);
      const size_t index = (oldest_ + count_) % kSlots;
      slots_[index]->stage(input, batch);
      slots_[index]->submit(count_ > 0 ? slots_[(index + kSlots - 1) % kSlots].get() : nullptr);
      pending_[index] = {input.size, output};
      ++count_;
    });
  }

  void wait() override {
    if (count_ == 0) return;
    guard([&] {
      const size_t done = oldest_;
      slots_[done]->finish(timeout_ms_);
      oldest_ = (oldest_ + 1) % kSlots;
      --count_;
      slots_[done]->read(pending_[done].size, pending_[done].output);
    });
  }

 private:
  // The driver's own refusal of another chip's model says little.
  void check_soc(const std::filesystem::path& om) const {
    if (!device_.soc().empty() && !sidecar_.soc.empty() && device_.soc() != sidecar_.soc) {
      throw bad_input(
          "{}: the model was compiled for {}, this device is {}; compile it again: posefix compile ... --target "
          "ascend:{}",
          om.string(), sidecar_.soc, device_.soc(), device_.soc());
    }
  }

  struct Pending {
    int64_t size = 0;
    RefinedBatch output;
  };

  // Runs `work` in this session's context. After an error every queued batch is dropped, and nothing of them is
  // touched before the device has let go of it.
  template <typename Work>
  void guard(const Work& work) {
    if (device_.is_abandoned()) throw failed("Ascend: the device of this session was lost; open the model again");
    device_.enter();
    try {
      work();
    } catch (const AclFailure& failure) {
      if (is_device_lost(failure.acl_code())) {
        device_.abandon();
      } else {
        drain();
      }
      throw;
    }
  }

  void drain() noexcept {
    count_ = 0;
    for (const std::unique_ptr<Slot>& slot : slots_) slot->drain();
    device_.acl().aclGetRecentErrMsg();  // what the sync adds would be read with the next error
  }

  OmSidecar sidecar_;
  ModelInfo info_;
  int32_t timeout_ms_;
  Device device_;                      // what follows is given back before it, in its context
  std::optional<ModelMemory> memory_;  // of every slot's model
  std::array<std::unique_ptr<Slot>, kSlots> slots_;
  std::array<Pending, kSlots> pending_;
  size_t oldest_ = 0;  // slot of the oldest batch in flight
  size_t count_ = 0;   // batches in flight
};

}  // namespace

std::unique_ptr<Session> open_ascend(const std::filesystem::path& om, const SessionOptions& options) {
  return std::make_unique<AscendSession>(om, read_checked_sidecar(om), options);
}

OmSidecar describe_om(const std::filesystem::path& om, const std::string& device_name) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(om);
  const Device device(device_id(device_name));
  const ModelMemory memory(device, om.string());
  const Model model(device, om.string(), memory);
  OmSidecar sidecar = sidecar_of(describe(device, model), om.string());
  sidecar.om_sha256 = sha256_hex(file->bytes());
  sidecar.om_bytes = file->bytes().size();
  sidecar.soc = device.soc();
  sidecar.precision = "as compiled";
  return sidecar;
}

}  // namespace posefix::runtime::ascend
