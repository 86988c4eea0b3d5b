#include <bit>
#include <cstring>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "plan/plan_file.h"
#include "plan/plan_layout.h"

namespace posefix::plan {
namespace {

static_assert(std::endian::native == std::endian::little, "the plan file is little-endian");

class Encoder {
 public:
  template <typename T>
  void put(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof value);
  }
  void u32(uint64_t value) { put(static_cast<uint32_t>(value)); }
  void text(const std::string& value) {
    u32(value.size());
    const auto* bytes = reinterpret_cast<const std::byte*>(value.data());
    bytes_.insert(bytes_.end(), bytes, bytes + value.size());
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

Encoder encode_metadata(const Plan& plan) {
  Encoder out;
  const Metadata& m = plan.metadata;
  for (const std::string* text : {&m.target, &m.precision, &m.cpu_features, &m.config_yaml, &m.skeleton_yaml}) {
    out.text(*text);
  }
  for (const int64_t value : {m.height, m.width, m.joints, m.heatmap_stride}) out.put(value);
  out.put(plan.arena_bytes);
  for (const double mean : m.mean_bgr) out.put(mean);
  if (!m.trust.empty()) out.text(m.trust);
  return out;
}

Encoder encode_tensors(const Plan& plan) {
  Encoder out;
  out.u32(plan.tensors.size());
  for (const TensorInfo& t : plan.tensors) {
    out.text(t.name);
    for (const int64_t dim : {t.height, t.width, t.channels}) out.u32(static_cast<uint64_t>(dim));
    out.u32(static_cast<uint64_t>(t.dtype));
    out.put(t.scale);
    out.put(t.offset);
    out.put(t.bytes);
  }
  return out;
}

Encoder encode_weights(const Plan& plan) {
  Encoder out;
  out.u32(plan.weight_infos.size());
  for (const WeightInfo& w : plan.weight_infos) {
    out.text(w.name);
    out.u32(static_cast<uint64_t>(w.dtype));
    out.u32(w.shape.size());
    for (const int64_t dim : w.shape) out.put(dim);
    out.put(w.offset);
    out.put(w.bytes);
  }
  return out;
}

Encoder encode_steps(const Plan& plan) {
  Encoder out;
  out.u32(plan.steps.size());
  for (const Step& s : plan.steps) {
    out.u32(static_cast<uint64_t>(s.op));
    out.text(s.name);
    for (const std::vector<int32_t>* ids : {&s.inputs, &s.weights}) {
      out.u32(ids->size());
      for (const int32_t id : *ids) out.put(id);
    }
    for (const int32_t value : {s.output, s.stride, s.kernel, s.pads[0], s.pads[1], s.pads[2], s.pads[3]}) {
      out.put(value);
    }
    out.u32((s.relu ? kFlagRelu : 0) | (s.has_bias ? kFlagBias : 0) | (s.has_residual ? kFlagResidual : 0));
    out.put(s.sigma_px);
    out.put(s.factor);
  }
  out.u32(plan.kept.size());
  for (const KeptTensor& kept : plan.kept) {
    out.text(kept.name);
    out.put(kept.tensor);
  }
  return out;
}

Encoder encode_tunings(const Plan& plan) {
  Encoder out;
  out.u32(plan.tunings.size());
  for (const Tuning& tuning : plan.tunings) {
    out.u32(static_cast<uint64_t>(tuning.batch));
    out.u32(static_cast<uint64_t>(tuning.threads));
    out.u32(tuning.choices.size());
    for (const StepChoice& c : tuning.choices) {
      out.put(c.step);
      out.u32(static_cast<uint64_t>(c.choice.method));
      out.u32(c.choice.tile_height);
      out.u32(c.choice.tile_width);
    }
  }
  return out;
}

constexpr std::array<std::byte, kAlignment> kZeros{};

// The data section, weight by weight.
template <typename Sink>
void emit_data(const Plan& plan, const Sink& sink) {
  for (const Weight& weight : plan.weights) {
    const Tensor values = weight.values();
    sink(values.bytes());
    sink(std::span(kZeros).first(align_up(values.bytes().size()) - values.bytes().size()));
    weight.release_pages();
  }
}

struct Layout {
  std::array<Encoder, kTunedSections - 1> tables;  // all but the weights
  std::vector<uint64_t> offsets;                   // of the sections, in the file's order
  std::vector<uint64_t> sizes;
  Encoder header;

  // The table of a section that is not the weights'.
  const std::vector<std::byte>& table(size_t section) const {
    return tables[section < kSections ? section : section - 1].bytes();
  }
};

Layout lay_out(const Plan& plan) {
  const Violation violation = validate(plan);
  if (!violation.message.empty()) throw failed("compiled an invalid plan: {}", violation.message);
  Layout layout;
  layout.tables = {encode_metadata(plan), encode_tensors(plan), encode_weights(plan), encode_steps(plan),
                   encode_tunings(plan)};
  const size_t count = plan.tunings.empty() ? kSections : kTunedSections;
  layout.sizes.resize(count);
  std::vector<uint32_t> checksums(count);
  uint64_t end = header_bytes(count);
  for (size_t i = 0; i < count; ++i) {
    if (i + 1 == kSections) {
      layout.sizes[i] = plan.data_bytes();
      emit_data(plan, [&](std::span<const std::byte> bytes) { checksums[i] = crc32c(bytes, checksums[i]); });
    } else {
      layout.sizes[i] = layout.table(i).size();
      checksums[i] = crc32c(layout.table(i));
    }
    layout.offsets.push_back(align_up(end));
    end = layout.offsets.back() + layout.sizes[i];
  }
  const auto encode_header = [&](uint32_t checksum) {
    Encoder out;
    for (const char c : kMagic) out.put(c);
    out.u32(count == kSections ? 1 : kPlanVersion);
    out.u32(count);
    out.put(end);
    out.u32(checksum);
    out.u32(0);
    for (size_t i = 0; i < count; ++i) {
      out.u32(i + 1);
      out.u32(checksums[i]);
      out.put(layout.offsets[i]);
      out.put(layout.sizes[i]);
      out.put(uint64_t{0});
    }
    return out;
  };
  layout.header = encode_header(crc32c(encode_header(0).bytes()));
  return layout;
}

template <typename Sink>
void emit(const Plan& plan, const Sink& sink) {
  const Layout layout = lay_out(plan);
  sink(std::span<const std::byte>(layout.header.bytes()));
  uint64_t position = header_bytes(layout.offsets.size());
  for (size_t i = 0; i < layout.offsets.size(); ++i) {
    sink(std::span(kZeros).first(layout.offsets[i] - position));
    if (i + 1 == kSections) {
      emit_data(plan, sink);
    } else {
      sink(std::span<const std::byte>(layout.table(i)));
    }
    position = layout.offsets[i] + layout.sizes[i];
  }
}

}  // namespace

void write_plan(const std::filesystem::path& path, const Plan& plan) {
  AtomicFile file(path);
  emit(plan, [&](std::span<const std::byte> bytes) { file.write(bytes); });
  file.commit();
}

std::vector<std::byte> encode_plan(const Plan& plan) {
  std::vector<std::byte> all;
  emit(plan, [&](std::span<const std::byte> bytes) { all.insert(all.end(), bytes.begin(), bytes.end()); });
  return all;
}

}  // namespace posefix::plan
