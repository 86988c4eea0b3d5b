#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "plan/plan_file.h"
#include "plan/plan_layout.h"

namespace posefix::plan {
namespace {

// Reads one section; every read is checked against the section's end.
class Decoder {
 public:
  Decoder(const std::string& file, std::span<const std::byte> bytes, uint64_t begin, uint64_t end)
      : file_(file), bytes_(bytes), position_(begin), end_(end) {}

  template <typename T>
  T get() {
    need(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  uint32_t u32() { return get<uint32_t>(); }
  std::string text() {
    const uint32_t size = u32();
    need(size);
    std::string value(reinterpret_cast<const char*>(bytes_.data() + position_), size);
    position_ += size;
    return value;
  }
  // A number of records of at least `least` bytes each: refused before memory is reserved for them.
  uint32_t count(uint64_t least) {
    const uint64_t at = position_;
    const uint32_t value = u32();
    if (value > (end_ - position_) / least) {
      throw bad_input("{}: offset {}: {} records do not fit into the {} bytes left in the section", file_, at, value,
                      end_ - position_);
    }
    return value;
  }
  uint64_t position() const { return position_; }
  bool at_end() const { return position_ == end_; }
  void expect_end() const {
    if (position_ != end_) {
      throw bad_input("{}: offset {}: {} bytes too many in the section", file_, position_, end_ - position_);
    }
  }
  [[noreturn]] void refuse(uint64_t offset, const std::string& what) const {
    throw bad_input("{}: offset {}: {}; compile the model again", file_, offset, what);
  }

 private:
  void need(uint64_t size) const {
    if (size > end_ - position_) {
      throw bad_input("{}: offset {}: {} bytes expected, the section ends after {}", file_, position_, size,
                      end_ - position_);
    }
  }
  const std::string& file_;
  std::span<const std::byte> bytes_;
  uint64_t position_;
  uint64_t end_;
};

DType read_dtype(Decoder& in) {
  const uint64_t at = in.position();
  const uint32_t code = in.u32();
  if (code > static_cast<uint32_t>(DType::kString)) in.refuse(at, fmt::format("element type {} is not known", code));
  return static_cast<DType>(code);
}

struct Extent {
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Offsets {  // of every record, for messages
  uint64_t metadata = 0;
  std::vector<uint64_t> tensors, weights, steps, kept, tunings;

  uint64_t of(const Violation& violation) const {
    switch (violation.kind) {
      case RecordKind::kMetadata:
        return metadata;
      case RecordKind::kTensor:
        return tensors.at(violation.index);
      case RecordKind::kWeight:
        return weights.at(violation.index);
      case RecordKind::kStep:
        return steps.at(violation.index);
      case RecordKind::kKept:
        return kept.at(violation.index);
      case RecordKind::kTuning:
        return tunings.at(violation.index);
    }
    return 0;
  }
};

void read_metadata(Decoder in, Plan& plan, Offsets& offsets) {
  offsets.metadata = in.position();
  Metadata& m = plan.metadata;
  for (std::string* text : {&m.target, &m.precision, &m.cpu_features, &m.config_yaml, &m.skeleton_yaml}) {
    *text = in.text();
  }
  for (int64_t* value : {&m.height, &m.width, &m.joints, &m.heatmap_stride}) *value = in.get<int64_t>();
  plan.arena_bytes = in.get<uint64_t>();
  for (double& mean : m.mean_bgr) mean = in.get<double>();
  if (!in.at_end()) m.trust = in.text();
  in.expect_end();
}

void read_tensors(Decoder in, Plan& plan, Offsets& offsets) {
  constexpr uint64_t kLeast = 40;
  const uint32_t count = in.count(kLeast);
  for (uint32_t i = 0; i < count; ++i) {
    offsets.tensors.push_back(in.position());
    TensorInfo t;
    t.name = in.text();
    for (int64_t* dim : {&t.height, &t.width, &t.channels}) *dim = in.u32();
    t.dtype = read_dtype(in);
    t.scale = in.get<float>();
    t.offset = in.get<uint64_t>();
    t.bytes = in.get<uint64_t>();
    plan.tensors.push_back(std::move(t));
  }
  in.expect_end();
}

void read_weights(Decoder in, Plan& plan, Offsets& offsets) {
  constexpr uint64_t kLeast = 28;
  const uint32_t count = in.count(kLeast);
  for (uint32_t i = 0; i < count; ++i) {
    offsets.weights.push_back(in.position());
    WeightInfo w;
    w.name = in.text();
    w.dtype = read_dtype(in);
    const uint32_t rank = in.count(sizeof(int64_t));
    for (uint32_t d = 0; d < rank; ++d) w.shape.push_back(in.get<int64_t>());
    w.offset = in.get<uint64_t>();
    w.bytes = in.get<uint64_t>();
    plan.weight_infos.push_back(std::move(w));
  }
  in.expect_end();
}

Step read_step(Decoder& in) {
  Step s;
  const uint64_t at = in.position();
  s.op = static_cast<Op>(in.u32());
  if (op_name(s.op).empty()) {
    in.refuse(at, fmt::format("op code {} is not known", static_cast<uint32_t>(s.op)));
  }
  s.name = in.text();
  for (std::vector<int32_t>* ids : {&s.inputs, &s.weights}) {
    const uint32_t count = in.count(sizeof(int32_t));
    for (uint32_t i = 0; i < count; ++i) ids->push_back(in.get<int32_t>());
  }
  for (int32_t* value : {&s.output, &s.stride, &s.kernel, &s.pads[0], &s.pads[1], &s.pads[2], &s.pads[3]}) {
    *value = in.get<int32_t>();
  }
  const uint64_t flags_at = in.position();
  const uint32_t flags = in.u32();
  if ((flags & ~(kFlagRelu | kFlagBias | kFlagResidual)) != 0) {
    in.refuse(flags_at, fmt::format("flags {:#x} are not known", flags));
  }
  s.relu = (flags & kFlagRelu) != 0;
  s.has_bias = (flags & kFlagBias) != 0;
  s.has_residual = (flags & kFlagResidual) != 0;
  s.sigma_px = in.get<double>();
  s.factor = in.get<double>();
  return s;
}

void read_steps(Decoder in, Plan& plan, Offsets& offsets) {
  constexpr uint64_t kLeastStep = 64;
  const uint32_t count = in.count(kLeastStep);
  for (uint32_t i = 0; i < count; ++i) {
    offsets.steps.push_back(in.position());
    plan.steps.push_back(read_step(in));
  }
  const uint32_t kept = in.count(2 * sizeof(uint32_t));
  for (uint32_t i = 0; i < kept; ++i) {
    offsets.kept.push_back(in.position());
    KeptTensor k;
    k.name = in.text();
    k.tensor = in.get<int32_t>();
    plan.kept.push_back(std::move(k));
  }
  in.expect_end();
}

void read_tunings(Decoder in, Plan& plan, Offsets& offsets) {
  constexpr uint64_t kLeast = 12;
  constexpr uint64_t kLeastChoice = 16;
  const uint64_t at = in.position();
  const uint32_t count = in.count(kLeast);
  if (count == 0) in.refuse(at, "no choices in the section for them");
  for (uint32_t i = 0; i < count; ++i) {
    offsets.tunings.push_back(in.position());
    Tuning tuning;
    tuning.batch = in.u32();
    tuning.threads = in.get<int32_t>();
    const uint32_t choices = in.count(kLeastChoice);
    for (uint32_t c = 0; c < choices; ++c) {
      offsets.tunings.push_back(in.position());
      StepChoice choice;
      choice.step = in.get<int32_t>();
      choice.choice.method = static_cast<Method>(in.u32());
      choice.choice.tile_height = in.u32();
      choice.choice.tile_width = in.u32();
      tuning.choices.push_back(choice);
    }
    plan.tunings.push_back(std::move(tuning));
  }
  in.expect_end();
}

uint64_t u64_at(std::span<const std::byte> bytes, size_t offset) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
uint32_t u32_at(std::span<const std::byte> bytes, size_t offset) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool starts_with_magic(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

// The number of sections.
size_t check_header(const std::string& file, std::span<const std::byte> bytes) {
  if (!starts_with_magic(bytes)) {
    throw bad_input("{}: offset 0: not a plan file (its first 8 bytes are not PFXPLAN 1A); `posefix compile` makes one",
                    file);
  }
  const auto expect_bytes = [&](size_t header) {
    if (bytes.size() >= header) return;
    throw bad_input("{}: offset {}: the file ends inside its header of {} bytes; it was cut off", file, bytes.size(),
                    header);
  };
  expect_bytes(header_bytes(kSections));
  const uint32_t version = u32_at(bytes, 8);
  if (version < 1 || version > kPlanVersion) {
    throw bad_input(
        "{}: offset 8: format version {}, this program reads 1 to {}; {}", file, version, kPlanVersion,
        version > kPlanVersion ? "use a newer posefix or compile the model again" : "compile the model again");
  }
  const size_t sections = version == 1 ? kSections : kTunedSections;
  expect_bytes(header_bytes(sections));
  std::vector<std::byte> header(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(header_bytes(sections)));
  std::memset(header.data() + kChecksumOffset, 0, sizeof(uint32_t));
  const uint32_t expected = u32_at(bytes, kChecksumOffset);
  const uint32_t found = crc32c(header);
  if (expected != found) {
    throw bad_input("{}: offset {}: the header's checksum is {:#010x}, computed {:#010x}; the file is damaged", file,
                    kChecksumOffset, expected, found);
  }
  const uint64_t size = u64_at(bytes, 16);
  if (size != bytes.size()) {
    throw bad_input("{}: offset 16: the file should have {} bytes and has {}; it was cut off or something was appended",
                    file, size, bytes.size());
  }
  if (u32_at(bytes, 12) != sections) {
    throw bad_input("{}: offset 12: {} sections, version {} has {}", file, u32_at(bytes, 12), version, sections);
  }
  return sections;
}

// Section table: in order, aligned, without gaps other than zeros.
std::vector<Extent> read_table(const std::string& file, std::span<const std::byte> bytes, size_t sections) {
  std::vector<Extent> extents;
  uint64_t end = header_bytes(sections);
  for (size_t i = 0; i < sections; ++i) {
    const size_t at = kTableOffset + i * kSectionRecord;
    const Extent extent{u64_at(bytes, at + 8), u64_at(bytes, at + 16)};
    if (u32_at(bytes, at) != i + 1) {
      throw bad_input("{}: offset {}: section id {}, expected {}", file, at, u32_at(bytes, at), i + 1);
    }
    if (extent.offset != align_up(end) || extent.offset > bytes.size() || extent.size > bytes.size() - extent.offset) {
      throw bad_input("{}: offset {}: section {} claims {} bytes at {}; the file has {}", file, at + 8, i + 1,
                      extent.size, extent.offset, bytes.size());
    }
    for (uint64_t gap = end; gap < extent.offset; ++gap) {
      if (bytes[gap] != std::byte{0}) throw bad_input("{}: offset {}: expected a zero between sections", file, gap);
    }
    end = extent.offset + extent.size;
    extents.push_back(extent);
    const uint32_t expected = u32_at(bytes, at + 4);
    const uint32_t found = crc32c(bytes.subspan(extent.offset, extent.size));
    if (expected != found) {
      throw bad_input("{}: offset {}: section {}'s checksum is {:#010x}, computed {:#010x}; the file is damaged", file,
                      extent.offset, i + 1, expected, found);
    }
  }
  if (end != bytes.size()) throw bad_input("{}: offset {}: {} bytes too many", file, end, bytes.size() - end);
  return extents;
}

// Weights as views of the file; their places were checked, but for where the section ends.
std::vector<Weight> borrow_weights(const Plan& plan, const std::shared_ptr<const MappedFile>& file, Extent data) {
  if (plan.data_bytes() != data.size) {
    throw bad_input("{}: offset {}: the weights take {} bytes, the data section has {}; compile the model again",
                    file->path().string(), data.offset, plan.data_bytes(), data.size);
  }
  std::vector<Weight> weights;
  for (const WeightInfo& w : plan.weight_infos) {
    weights.emplace_back(Tensor(w.dtype, w.shape, file->bytes().subspan(data.offset + w.offset, w.bytes), file));
  }
  return weights;
}

}  // namespace

bool is_plan_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && starts_with_magic(MappedFile::open(path)->bytes());
}

std::shared_ptr<const Plan> read_plan(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string name = path.string();
  const std::span<const std::byte> bytes = file->bytes();
  const std::vector<Extent> extents = read_table(name, bytes, check_header(name, bytes));
  const auto decoder = [&](Section section) {
    const Extent& extent = extents[static_cast<size_t>(section) - 1];
    return Decoder(name, bytes, extent.offset, extent.offset + extent.size);
  };
  auto plan = std::make_shared<Plan>();
  Offsets offsets;
  read_metadata(decoder(Section::kMeta), *plan, offsets);
  read_tensors(decoder(Section::kTensors), *plan, offsets);
  read_weights(decoder(Section::kWeights), *plan, offsets);
  read_steps(decoder(Section::kSteps), *plan, offsets);
  if (extents.size() == kTunedSections) read_tunings(decoder(Section::kTuning), *plan, offsets);
  const Violation violation = validate(*plan);
  if (!violation.message.empty()) {
    throw bad_input("{}: offset {}: {}; compile the model again", name, offsets.of(violation), violation.message);
  }
  plan->weights = borrow_weights(*plan, file, extents[kSections - 1]);
  return plan;
}

}  // namespace posefix::plan
