#include "runtime/backends/ascend/om_sidecar.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace posefix::runtime::ascend {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "posefix.om";
constexpr int64_t kVersion = 1;
const std::set<std::string> kInputRoles{"image", "pose", "valid"};

// A value of a JSON object with the type that the caller asked for, or an error that names file and key.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw bad_input("{}: expected an object, found {}", where_, object.type_name());
  }

  template <typename T>
  T get(const char* key) const {
    try {
      return find(key).get<T>();
    } catch (const Json::exception&) {
      throw bad_input("{}: '{}' has the wrong type: {}", where_, key, find(key).type_name());
    }
  }
  bool has(const char* key) const { return object_.contains(key); }
  Reader object(const char* key) const { return {find(key), where_ + "." + key}; }
  const Json& array(const char* key) const {
    const Json& value = find(key);
    if (!value.is_array()) throw bad_input("{}: '{}' must be a list, found {}", where_, key, value.type_name());
    return value;
  }
  const std::string& where() const { return where_; }

 private:
  const Json& find(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) {
      throw bad_input("{}: '{}' is missing; write the sidecar again with: posefix inspect M.om --write-sidecar", where_,
                      key);
    }
    return *found;
  }

  const Json& object_;
  std::string where_;
};

OmTensor read_tensor(const Reader& reader, bool is_input) {
  OmTensor tensor;
  tensor.role = reader.get<std::string>("role");
  tensor.name = reader.get<std::string>("name");
  const auto dtype = reader.get<std::string>("dtype");
  const std::optional<DType> parsed = dtype_from_name(dtype);
  if (!parsed || (*parsed != DType::kF32 && *parsed != DType::kF16 && *parsed != DType::kU8)) {
    throw bad_input("{}: 'dtype' must be f32, f16 or u8, found '{}'", reader.where(), dtype);
  }
  tensor.dtype = *parsed;
  (is_input ? tensor.layout : tensor.frame) = reader.get<std::string>(is_input ? "layout" : "frame");
  tensor.shape = reader.get<std::vector<int64_t>>("shape");
  return tensor;
}

std::vector<OmTensor> read_tensors(const Reader& reader, const char* key) {
  const bool is_input = std::string_view(key) == "inputs";
  const Json& list = reader.array(key);
  std::vector<OmTensor> tensors;
  for (size_t i = 0; i < list.size(); ++i) {
    tensors.push_back(read_tensor(Reader(list[i], fmt::format("{}: {}[{}]", reader.where(), key, i)), is_input));
  }
  return tensors;
}

void check_shape(const std::string& where, const OmTensor& tensor, size_t rank, int64_t batch) {
  const auto is_bad = [](int64_t d) { return d < 1 || d > 1 << 20; };
  if (tensor.shape.size() != rank || tensor.shape[0] != batch ||
      std::any_of(tensor.shape.begin() + 1, tensor.shape.end(), is_bad)) {
    throw bad_input("{}: '{}' ({}) has shape {}, expected {} dimensions with {} first", where, tensor.name, tensor.role,
                    to_string(tensor.shape), rank, batch);
  }
}

void check_batches(const std::string& where, const OmSidecar& sidecar) {
  const std::vector<int64_t>& batches = sidecar.batches;
  const bool is_ascending = std::adjacent_find(batches.begin(), batches.end(), std::greater_equal<>()) == batches.end();
  if (batches.empty() || batches.front() < 1 || batches.back() > 4096 || !is_ascending ||
      (!sidecar.is_dynamic && batches.size() != 1)) {
    throw bad_input("{}: 'batch' must be one number, or ascending gears with \"dynamic_batch\": true", where);
  }
}

void check_inputs(const std::string& where, const OmSidecar& sidecar, int64_t batch) {
  std::set<std::string> roles;
  for (const OmTensor& tensor : sidecar.inputs) roles.insert(tensor.role);
  if (roles != kInputRoles || sidecar.inputs.size() != kInputRoles.size()) {
    throw bad_input("{}: 'inputs' must have the roles image, pose and valid once each", where);
  }
  const OmTensor& image = sidecar.input("image");
  if (image.layout != "NHWC" && image.layout != "NCHW") {
    throw bad_input("{}: 'inputs': the image's layout must be NHWC or NCHW, found '{}'", where, image.layout);
  }
  if ((image.dtype == DType::kU8) != sidecar.mean_in_model) {
    throw bad_input("{}: an image of u8 goes with \"in_model\": true (AIPP), and no other does", where);
  }
  check_shape(where, image, 4, batch);
  check_shape(where, sidecar.input("pose"), 3, batch);
  check_shape(where, sidecar.input("valid"), 2, batch);
  const int64_t channels = image.shape[image.layout == "NHWC" ? 3 : 1];
  if (channels != 3 || sidecar.input("pose").shape[2] != 2 || sidecar.input("valid").shape[1] != sidecar.joints()) {
    throw bad_input("{}: 'inputs' must be an image of 3 channels, pose [B,K,2] and valid [B,K]", where);
  }
}

void check_outputs(const std::string& where, const OmSidecar& sidecar, int64_t batch) {
  if (sidecar.output("coords") == nullptr) throw bad_input("{}: 'outputs' has no role coords", where);
  for (const OmTensor& tensor : sidecar.outputs) {
    const bool is_coords = tensor.role == "coords";
    if (!is_coords && tensor.role != "spread") {
      throw bad_input("{}: 'outputs': unknown role '{}'; known: coords, spread", where, tensor.role);
    }
    check_shape(where, tensor, is_coords ? 3 : 2, batch);
    if (tensor.shape[1] != sidecar.joints() || (is_coords && tensor.shape[2] != 2) || tensor.dtype == DType::kU8) {
      throw bad_input("{}: output '{}' must be f32 or f16 with {} joints, found {}", where, tensor.name,
                      sidecar.joints(), to_string(tensor.shape));
    }
    if (tensor.frame != "heatmap_px" && tensor.frame != "crop_px") {
      throw bad_input("{}: output '{}': 'frame' must be heatmap_px or crop_px, found '{}'", where, tensor.name,
                      tensor.frame);
    }
  }
}

void check(const std::string& where, const OmSidecar& sidecar) {
  check_batches(where, sidecar);
  const int64_t batch = sidecar.is_dynamic ? -1 : sidecar.batches.front();
  check_inputs(where, sidecar, batch);
  check_outputs(where, sidecar, batch);
  if (sidecar.heatmap_stride < 1 || sidecar.heatmap_stride > 64) {
    throw bad_input("{}: 'heatmap_stride' must be 1..64, found {}", where, sidecar.heatmap_stride);
  }
}

Json encode(const OmTensor& tensor, bool is_input) {
  Json json;
  json["role"] = tensor.role;
  json["name"] = tensor.name;
  json["dtype"] = std::string(dtype_name(tensor.dtype));
  json[is_input ? "layout" : "frame"] = is_input ? tensor.layout : tensor.frame;
  json["shape"] = tensor.shape;
  return json;
}

}  // namespace

const OmTensor& OmSidecar::input(std::string_view role) const {
  const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const OmTensor& t) { return t.role == role; });
  PFX_CHECK(found != inputs.end());
  return *found;
}

const OmTensor* OmSidecar::output(std::string_view role) const {
  const auto found = std::find_if(outputs.begin(), outputs.end(), [&](const OmTensor& t) { return t.role == role; });
  return found == outputs.end() ? nullptr : &*found;
}

int64_t OmSidecar::height() const { return input("image").shape.at(input("image").layout == "NHWC" ? 1 : 2); }
int64_t OmSidecar::width() const { return input("image").shape.at(input("image").layout == "NHWC" ? 2 : 3); }
int64_t OmSidecar::joints() const { return input("pose").shape.at(1); }

std::filesystem::path sidecar_path(const std::filesystem::path& om) { return om.string() + ".json"; }

OmSidecar read_om_sidecar(const std::filesystem::path& json) {
  const std::string where = json.string();
  const Json parsed = Json::parse(read_file(json), nullptr, false);
  if (parsed.is_discarded()) throw bad_input("{}: not valid JSON", where);
  const Reader reader(parsed, where);
  if (reader.get<std::string>("format") != kFormat || reader.get<int64_t>("version") != kVersion) {
    throw bad_input("{}: expected \"format\": \"{}\", \"version\": {}, found {} {}", where, kFormat, kVersion,
                    reader.get<std::string>("format"), reader.get<int64_t>("version"));
  }
  OmSidecar sidecar;
  sidecar.om_sha256 = reader.object("om").get<std::string>("sha256");
  sidecar.om_bytes = reader.object("om").get<uint64_t>("bytes");
  sidecar.soc = reader.get<std::string>("soc");
  sidecar.precision = reader.get<std::string>("precision");
  sidecar.batches = reader.get<std::vector<int64_t>>("batch");
  sidecar.is_dynamic = reader.get<bool>("dynamic_batch");
  sidecar.inputs = read_tensors(reader, "inputs");
  sidecar.outputs = read_tensors(reader, "outputs");
  sidecar.heatmap_stride = reader.get<int64_t>("heatmap_stride");
  const Reader preprocessing = reader.object("preprocessing");
  if (const auto colour = preprocessing.get<std::string>("colour"); colour != "BGR") {
    throw bad_input("{}: 'colour' must be BGR, found '{}'", preprocessing.where(), colour);
  }
  sidecar.mean_bgr = preprocessing.get<std::array<double, 3>>("mean");
  sidecar.mean_in_model = preprocessing.get<bool>("in_model");
  sidecar.config_yaml = reader.get<std::string>("config_yaml");
  sidecar.skeleton_yaml = reader.get<std::string>("skeleton_yaml");
  if (reader.has("trust")) sidecar.trust = reader.get<std::string>("trust");
  sidecar.atc_version = reader.object("atc").get<std::string>("version");
  sidecar.atc_command = reader.object("atc").get<std::string>("command");
  check(where, sidecar);
  return sidecar;
}

std::string encode_om_sidecar(const OmSidecar& sidecar) {
  Json json;
  json["format"] = kFormat;
  json["version"] = kVersion;
  json["om"] = {{"sha256", sidecar.om_sha256}, {"bytes", sidecar.om_bytes}};
  json["soc"] = sidecar.soc;
  json["precision"] = sidecar.precision;
  json["batch"] = sidecar.batches;
  json["dynamic_batch"] = sidecar.is_dynamic;
  json["inputs"] = Json::array();
  for (const OmTensor& tensor : sidecar.inputs) json["inputs"].push_back(encode(tensor, true));
  json["outputs"] = Json::array();
  for (const OmTensor& tensor : sidecar.outputs) json["outputs"].push_back(encode(tensor, false));
  json["heatmap_stride"] = sidecar.heatmap_stride;
  json["preprocessing"] = {{"colour", "BGR"}, {"mean", sidecar.mean_bgr}, {"in_model", sidecar.mean_in_model}};
  json["config_yaml"] = sidecar.config_yaml;
  json["skeleton_yaml"] = sidecar.skeleton_yaml;
  if (!sidecar.trust.empty()) json["trust"] = sidecar.trust;
  json["atc"] = {{"version", sidecar.atc_version}, {"command", sidecar.atc_command}};
  return json.dump(1) + "\n";
}

void write_om_sidecar(const std::filesystem::path& json, const OmSidecar& sidecar) {
  check(json.string(), sidecar);
  write_file_atomically(json, encode_om_sidecar(sidecar));
}

void check_om_digest(const OmSidecar& sidecar, const std::filesystem::path& om) {
  if (sidecar.om_sha256.empty()) return;
  const std::shared_ptr<const MappedFile> file = MappedFile::open(om);
  const size_t bytes = file->bytes().size();
  const bool same_size = bytes == sidecar.om_bytes;
  const std::string digest = same_size ? sha256_hex(file->bytes()) : "";
  if (digest == sidecar.om_sha256) return;
  throw bad_input(
      "{0}: the sidecar {1} belongs to another model: it was made for a file {2}, this one has {3}; copy the two files "
      "that were made together, compile again, or write a sidecar for this file with: posefix inspect {0} "
      "--write-sidecar",
      om.string(), sidecar_path(om).string(),
      same_size ? "with sha256 " + sidecar.om_sha256 : fmt::format("of {} bytes", sidecar.om_bytes),
      same_size ? digest : fmt::format("{} bytes", bytes));
}

}  // namespace posefix::runtime::ascend
