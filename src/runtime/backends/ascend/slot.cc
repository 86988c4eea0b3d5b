#include "runtime/backends/ascend/slot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/backends/ascend/errors.h"

namespace posefix::runtime::ascend {
namespace {

constexpr size_t kColours = 3;

// crops [N,3] pixels of 3 bytes -> T through a table per channel; NHWC keeps the order, NCHW splits the planes.
template <typename T>
void convert_person(const uint8_t* pixels, size_t count, const T* table, bool is_planar, T* out) {
  if (!is_planar) {
    for (size_t i = 0; i < count; ++i) {
      for (size_t c = 0; c < kColours; ++c) out[kColours * i + c] = table[256 * c + pixels[kColours * i + c]];
    }
    return;
  }
  for (size_t c = 0; c < kColours; ++c) {
    for (size_t i = 0; i < count; ++i) out[count * c + i] = table[256 * c + pixels[kColours * i + c]];
  }
}

void write_values(std::span<const float> values, DType dtype, std::byte* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, values.data(), values.size_bytes());
    return;
  }
  auto* halves = reinterpret_cast<uint16_t*>(out);
  for (size_t i = 0; i < values.size(); ++i) halves[i] = f32_to_f16(values[i]);
}

void read_values(const std::byte* in, DType dtype, float factor, std::span<float> values) {
  const auto* floats = reinterpret_cast<const float*>(in);
  const auto* halves = reinterpret_cast<const uint16_t*>(in);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = factor * (dtype == DType::kF32 ? floats[i] : f16_to_f32(halves[i]));
  }
}

}  // namespace

Slot::Slot(const Device& device, std::unique_ptr<Model> model, const ModelDescription& description,
           const OmSidecar& sidecar)
    : device_(device),
      model_(std::move(model)),
      sidecar_(sidecar),
      gear_input_(description.gear_input),
      input_set_(device),
      output_set_(device),
      stream_(create_stream(device)) {
  for (const ModelTensor& tensor : description.inputs) inputs_.push_back(make_port(tensor.bytes, tensor.name));
  for (const ModelTensor& tensor : description.outputs) outputs_.push_back(make_port(tensor.bytes, tensor.name));
  if (gear_input_ >= 0) gear_memory_ = allocate_device(device, description.gear_input_bytes, kDynamicBatchInput);

  // The data set holds the inputs in the model's order; the gear input stands among them, usually last.
  size_t next = 0;
  const size_t total = inputs_.size() + (gear_input_ >= 0 ? 1 : 0);
  for (size_t i = 0; i < total; ++i) {
    if (static_cast<int64_t>(i) == gear_input_) {
      input_set_.add(gear_memory_.get(), description.gear_input_bytes);
    } else {
      input_set_.add(inputs_[next].device.get(), inputs_[next].bytes);
      ++next;
    }
  }
  for (const Port& port : outputs_) output_set_.add(port.device.get(), port.bytes);

  for (size_t c = 0; c < kColours; ++c) {
    for (int v = 0; v < 256; ++v) {
      float_table_.push_back(static_cast<float>(v - sidecar.mean_bgr[c]));
      half_table_.push_back(f32_to_f16(float_table_.back()));
    }
  }
}

Slot::Port Slot::make_port(size_t bytes, const std::string& what) const {
  Port port;
  port.bytes = bytes;
  port.person_bytes = bytes / static_cast<size_t>(sidecar_.batches.back());
  port.device = allocate_device(device_, bytes, what);
  if (device_.is_device_mode()) {
    port.host = static_cast<std::byte*>(port.device.get());
  } else {
    port.pinned = allocate_pinned(device_, bytes, what);
    port.host = static_cast<std::byte*>(port.pinned.get());
  }
  return port;
}

std::byte* Slot::host(std::string_view role) {
  return inputs_[static_cast<size_t>(&sidecar_.input(role) - sidecar_.inputs.data())].host;
}

size_t Slot::bytes_in_use(const Port& port) const { return static_cast<size_t>(batch_) * port.person_bytes; }

void Slot::stage(const CropBatch& input, int64_t batch) {
  batch_ = batch;
  const auto persons = static_cast<size_t>(input.size);
  const auto pixels = static_cast<size_t>(sidecar_.height() * sidecar_.width());
  const OmTensor& image = sidecar_.input("image");
  const bool is_planar = image.layout == "NCHW";
  std::byte* out = host("image");
  for (size_t p = 0; p < persons; ++p) {
    const uint8_t* crop = input.crops.data() + p * pixels * kColours;
    const size_t offset = p * pixels * kColours;
    if (image.dtype == DType::kU8) {
      std::memcpy(out + offset, crop, pixels * kColours);
    } else if (image.dtype == DType::kF16) {
      convert_person(crop, pixels, half_table_.data(), is_planar, reinterpret_cast<uint16_t*>(out) + offset);
    } else {
      convert_person(crop, pixels, float_table_.data(), is_planar, reinterpret_cast<float*>(out) + offset);
    }
  }
  const auto joints = static_cast<size_t>(sidecar_.joints());
  write_values(input.pose.first(persons * joints * 2), sidecar_.input("pose").dtype, host("pose"));
  write_values(input.valid.first(persons * joints), sidecar_.input("valid").dtype, host("valid"));
  // Rows that no person fills: zeros, so that the device never computes on stale or undefined numbers.
  for (const Port& port : inputs_) {
    const size_t begin = persons * port.person_bytes;
    std::memset(port.host + begin, 0, bytes_in_use(port) - begin);
  }
}

void Slot::submit(Slot* before) {
  const Acl& acl = device_.acl();
  copy_in();
  if (before != nullptr) {
    before_ = std::move(before->done_);
    check(acl, "aclrtStreamWaitEvent", acl.aclrtStreamWaitEvent(stream_.get(), before_.get()));
  }
  execute();
  done_ = create_event(device_);
  check(acl, "aclrtRecordEvent", acl.aclrtRecordEvent(done_.get(), stream_.get()));
  copy_out();
}

void Slot::copy_in() {
  if (device_.is_device_mode()) return;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Port& port = inputs_[i];
    check(device_.acl(), fmt::format("aclrtMemcpyAsync ({} to the device)", sidecar_.inputs[i].name),
          device_.acl().aclrtMemcpyAsync(port.device.get(), port.bytes, port.host, bytes_in_use(port),
                                         ACL_MEMCPY_HOST_TO_DEVICE, stream_.get()));
  }
}

void Slot::execute() {
  const Acl& acl = device_.acl();
  if (gear_input_ >= 0) {
    check(acl, fmt::format("aclmdlSetDynamicBatchSize({})", batch_),
          acl.aclmdlSetDynamicBatchSize(model_->id(), input_set_.get(), static_cast<size_t>(gear_input_),
                                        static_cast<uint64_t>(batch_)));
  }
  check(acl, "aclmdlExecuteAsync",
        acl.aclmdlExecuteAsync(model_->id(), input_set_.get(), output_set_.get(), stream_.get()));
}

void Slot::copy_out() {
  if (device_.is_device_mode()) return;
  const Acl& acl = device_.acl();
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Port& port = outputs_[i];
    check(acl, fmt::format("aclrtMemcpyAsync ({} from the device)", sidecar_.outputs[i].name),
          acl.aclrtMemcpyAsync(port.host, port.bytes, port.device.get(), bytes_in_use(port), ACL_MEMCPY_DEVICE_TO_HOST,
                               stream_.get()));
  }
}

void Slot::finish(int32_t timeout_ms) {
  synchronize(timeout_ms);
  before_ = {};
  done_ = {};
}

void Slot::synchronize(int32_t timeout_ms) {
  const Acl& acl = device_.acl();
  if (acl.aclrtSynchronizeStreamWithTimeout != nullptr) {
    const aclError code = acl.aclrtSynchronizeStreamWithTimeout(stream_.get(), timeout_ms);
    // Some inference chips only wait without a limit.
    if (code != kAclFeatureNotSupported) {
      check(acl, fmt::format("aclrtSynchronizeStreamWithTimeout (the model's run, {} ms)", timeout_ms), code);
      return;
    }
  }
  check(acl, "aclrtSynchronizeStream (the model's run)", acl.aclrtSynchronizeStream(stream_.get()));
}

void Slot::drain() noexcept {
  device_.acl().aclrtSynchronizeStream(stream_.get());
  before_ = {};
  done_ = {};
}

void Slot::read(int64_t size, const RefinedBatch& output) const {
  const auto values = static_cast<size_t>(size * sidecar_.joints());
  const auto read_role = [&](std::string_view role, std::span<float> out) {
    const OmTensor* tensor = sidecar_.output(role);
    if (tensor == nullptr) {
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    const float factor = tensor->frame == "heatmap_px" ? static_cast<float>(sidecar_.heatmap_stride) : 1.0F;
    read_values(outputs_[static_cast<size_t>(tensor - sidecar_.outputs.data())].host, tensor->dtype, factor, out);
  };
  read_role("coords", output.coords.first(values * 2));
  if (!output.spread.empty()) read_role("spread", output.spread.first(values));
}

}  // namespace posefix::runtime::ascend
