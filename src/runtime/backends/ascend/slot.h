// One batch in flight: staging on the host, tensors on the device, data sets, a stream that its work is queued on, and
// the model loaded for it.
//
// In host mode a slot stages in pinned host memory and copies both ways; in device mode the staging is the device
// memory itself and nothing is copied. From submit() to finish() neither staging nor answer may be touched.
// One stream a slot: synchronising it is the only call that reports a failed run, and it must not wait for the other
// slot's. One model a slot: AscendCL lets a model run on one stream alone. The slots' models share their weights and
// work memory, so their runs must not overlap: a run waits for the event that the one before records, and the device
// goes from one to the next by itself.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backends/ascend/description.h"
#include "runtime/backends/ascend/om_sidecar.h"
#include "runtime/session.h"

namespace posefix::runtime::ascend {

class Slot {
 public:
  // Owns the model; the other arguments are borrowed and outlive the slot. Error (failed) when memory runs out.
  Slot(const Device& device, std::unique_ptr<Model> model, const ModelDescription& description,
       const OmSidecar& sidecar);

  // Converts `input` to what the model takes, filled up to `batch` persons (a gear, or the fixed batch) with zeros.
  void stage(const CropBatch& input, int64_t batch);
  // Queues the copies to the device, the run and the copy of its answer. `before` is the slot whose batch is in flight,
  // if any: the copies overlap its run, this run follows it.
  void submit(Slot* before);
  // Waits for all that was queued. Error (failed), at the latest after `timeout_ms` where the device can limit it.
  void finish(int32_t timeout_ms);
  // Waits without a limit and without reporting.
  void drain() noexcept;
  // The first `size` persons of the answer, in crop px. Spread is NaN where the model has none.
  void read(int64_t size, const RefinedBatch& output) const;

 private:
  struct Port {
    size_t bytes = 0;         // of the largest batch
    size_t person_bytes = 0;  // bytes / largest batch
    DeviceMemory device;
    PinnedMemory pinned;        // host mode
    std::byte* host = nullptr;  // pinned, or the device memory in device mode
  };
  Port make_port(size_t bytes, const std::string& what) const;
  std::byte* host(std::string_view role);
  size_t bytes_in_use(const Port& port) const;
  void copy_in();
  void execute();
  void copy_out();
  void synchronize(int32_t timeout_ms);

  const Device& device_;
  std::unique_ptr<Model> model_;
  const OmSidecar& sidecar_;
  int64_t gear_input_;
  std::vector<Port> inputs_;   // in the sidecar's order
  std::vector<Port> outputs_;  //
  DeviceMemory gear_memory_;
  DataSet input_set_;
  DataSet output_set_;
  Stream stream_;
  Event done_;                        // recorded after the run, until another slot waits for it
  Event before_;                      // that the run waits for
  int64_t batch_ = 0;                 // of the batch in flight
  std::vector<float> float_table_;    // [3,256] u8 -> value minus mean
  std::vector<uint16_t> half_table_;  //
};

}  // namespace posefix::runtime::ascend
