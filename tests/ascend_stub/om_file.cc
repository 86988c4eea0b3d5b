#include "om_file.h"

#include <cstring>
#include <nlohmann/json.hpp>

namespace ascend_stub {
namespace {

constexpr std::string_view kMagic = "STUBOM\r\n";
constexpr size_t kHeaderBytes = 16;

nlohmann::json encode(const OmPort& port) { return {{"name", port.name}, {"dtype", port.dtype}, {"dims", port.dims}}; }

OmPort decode(const nlohmann::json& json) { return {json.at("name"), json.at("dtype"), json.at("dims")}; }

}  // namespace

size_t OmPort::person_elements() const {
  size_t count = 1;
  for (size_t d = 1; d < dims.size(); ++d) count *= static_cast<size_t>(dims[d]);
  return count;
}

std::string encode_om(const OmFile& om) {
  nlohmann::json json;
  json["soc"] = om.soc;
  json["command"] = om.command;
  json["gears"] = om.gears;
  json["batch"] = om.batch;
  json["is_onnx"] = om.is_onnx;
  json["aipp_mean"] = om.aipp_mean;
  json["inputs"] = nlohmann::json::array();
  for (const OmPort& port : om.inputs) json["inputs"].push_back(encode(port));
  json["outputs"] = nlohmann::json::array();
  for (const OmPort& port : om.outputs) json["outputs"].push_back(encode(port));
  const std::string text = json.dump();
  const uint64_t size = text.size();
  std::string bytes(kMagic);
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  return bytes + text + om.graph;
}

OmFile decode_om(std::string_view bytes) {
  uint64_t size = 0;
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) throw std::runtime_error("not an offline model");
  std::memcpy(&size, bytes.data() + kMagic.size(), sizeof(size));
  if (size > bytes.size() - kHeaderBytes) throw std::runtime_error("the offline model ends early");
  const nlohmann::json json = nlohmann::json::parse(bytes.substr(kHeaderBytes, size));
  OmFile om;
  om.soc = json.at("soc");
  om.command = json.at("command");
  om.gears = json.at("gears").get<std::vector<int64_t>>();
  om.batch = json.at("batch");
  om.is_onnx = json.at("is_onnx");
  om.aipp_mean = json.at("aipp_mean").get<std::vector<double>>();
  for (const nlohmann::json& port : json.at("inputs")) om.inputs.push_back(decode(port));
  for (const nlohmann::json& port : json.at("outputs")) om.outputs.push_back(decode(port));
  om.graph = bytes.substr(kHeaderBytes + size);
  return om;
}

}  // namespace ascend_stub
