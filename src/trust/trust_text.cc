// The text form, one JSON object:
//   "version": 1, "crop": [H, W], "flip": bool, "people": n
//   "scaling": {"spread": [mean, deviation], "distance": [...], "score": [...]}
//   "kinds": [{"name", "joints": [name, ...], "labelled": n, "step": [5 weights] or null, "error_factor"}, ...]
//   "error": {"spread_px": [...], "error_px": [...]}
//   "score": {"scaling": [[mean, deviation] x 5], "weights": [6]}
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "trust/trust.h"

namespace posefix::trust {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kVersion = 1;

class Reader {
 public:
  Reader(const Json& value, std::string where) : value_(value), where_(std::move(where)) {}

  Reader at(const char* key) const {
    if (!value_.is_object() || !value_.contains(key)) throw bad_input("{}: '{}' is missing", where_, key);
    return {value_[key], where_ + "." + key};
  }
  bool is_null() const { return value_.is_null(); }
  std::vector<Reader> items() const {
    if (!value_.is_array()) throw bad_input("{}: expected a list, found {}", where_, value_.type_name());
    std::vector<Reader> items;
    for (size_t i = 0; i < value_.size(); ++i) items.emplace_back(value_[i], where_ + "[" + std::to_string(i) + "]");
    return items;
  }
  double number(double low, double high) const {
    const double value = value_.is_number() ? value_.get<double>() : std::nan("");
    if (!(value >= low && value <= high)) {
      throw bad_input("{}: expected a number from {} to {}, found {}", where_, low, high, value_.dump());
    }
    return value;
  }
  int64_t integer(int64_t low, int64_t high) const {
    if (!value_.is_number_integer()) throw bad_input("{}: expected an integer, found {}", where_, value_.dump());
    return static_cast<int64_t>(number(static_cast<double>(low), static_cast<double>(high)));
  }
  bool boolean() const {
    if (!value_.is_boolean()) throw bad_input("{}: expected true or false, found {}", where_, value_.dump());
    return value_.get<bool>();
  }
  std::string text() const {
    if (!value_.is_string()) throw bad_input("{}: expected a text, found {}", where_, value_.dump());
    return value_.get<std::string>();
  }
  template <size_t kCount>
  std::array<Reader, kCount> exactly() const {
    const std::vector<Reader> all = items();
    if (all.size() != kCount) throw bad_input("{}: expected {} values, found {}", where_, kCount, all.size());
    return [&]<size_t... kIndex>(std::index_sequence<kIndex...>) { return std::array<Reader, kCount>{all[kIndex]...}; }
    (std::make_index_sequence<kCount>());
  }
  const std::string& where() const { return where_; }

 private:
  const Json& value_;
  std::string where_;
};

constexpr double kLargest = 1e6;

Scaling read_scaling(const Reader& reader) {
  const auto [mean, deviation] = reader.exactly<2>();
  return {mean.number(-kLargest, kLargest), deviation.number(1e-6, kLargest)};
}

template <size_t kCount>
std::array<double, kCount> read_weights(const Reader& reader) {
  std::array<double, kCount> weights{};
  const auto values = reader.exactly<kCount>();
  for (size_t i = 0; i < kCount; ++i) weights[i] = values[i].number(-kLargest, kLargest);
  return weights;
}

JointKind read_kind(const Reader& reader, const pose::Skeleton& skeleton, std::set<int>& seen) {
  JointKind kind;
  kind.name = reader.at("name").text();
  for (const Reader& joint : reader.at("joints").items()) {
    const int index = skeleton.find(joint.text());
    if (index < 0) throw bad_input("{}: the skeleton {} has no joint '{}'", joint.where(), skeleton.name, joint.text());
    if (!seen.insert(index).second) throw bad_input("{}: the joint '{}' occurs twice", joint.where(), joint.text());
    if (!(skeleton.sigmas[static_cast<size_t>(index)] > 0)) {
      throw bad_input("{}: the joint '{}' has no OKS sigma", joint.where(), joint.text());
    }
    kind.joints.push_back(index);
  }
  kind.labelled = reader.at("labelled").integer(0, int64_t{1} << 50);
  const Reader step = reader.at("step");
  kind.moves = !step.is_null();
  if (kind.moves) kind.step_weights = read_weights<kStepFeatures>(step);
  kind.error_factor = reader.at("error_factor").number(0, kLargest);
  return kind;
}

std::vector<double> read_ascending(const Reader& reader, bool strictly) {
  std::vector<double> values;
  for (const Reader& item : reader.items()) {
    const double value = item.number(strictly ? 1e-6 : 0, kLargest);
    const bool rises = values.empty() || (strictly ? value > values.back() : value >= values.back());
    if (!rises) throw bad_input("{}: expected ascending numbers", item.where());
    values.push_back(value);
  }
  if (values.empty()) throw bad_input("{}: is empty", reader.where());
  return values;
}

// Six decimals say all that was learnt, and keep the text short.
double rounded(double value) { return std::round(value * 1e6) / 1e6; }

template <typename Values>
Json numbers(const Values& values) {
  Json json = Json::array();
  for (const double value : values) json.push_back(rounded(value));
  return json;
}

Json pair(const Scaling& scaling) { return {rounded(scaling.mean), rounded(scaling.deviation)}; }

}  // namespace

Trust Trust::parse(std::string_view text, const pose::Skeleton& skeleton, const std::string& where) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw bad_input("{}: expected a JSON object", where);
  const Reader reader(json, where);
  if (const int64_t version = reader.at("version").integer(1, 1 << 20); version != kVersion) {
    throw bad_input("{}: version {}, this program reads {}; use a newer posefix or calibrate again", where, version,
                    kVersion);
  }
  Trust trust;
  const auto [height, width] = reader.at("crop").exactly<2>();
  trust.height = height.integer(1, 1 << 16);
  trust.width = width.integer(1, 1 << 16);
  trust.flip = reader.at("flip").boolean();
  trust.people = reader.at("people").integer(0, int64_t{1} << 50);
  const Reader scaling = reader.at("scaling");
  trust.spread = read_scaling(scaling.at("spread"));
  trust.distance = read_scaling(scaling.at("distance"));
  trust.score = read_scaling(scaling.at("score"));
  std::set<int> seen;
  for (const Reader& kind : reader.at("kinds").items()) trust.kinds.push_back(read_kind(kind, skeleton, seen));
  trust.curve_spread_px = read_ascending(reader.at("error").at("spread_px"), true);
  trust.curve_error_px = read_ascending(reader.at("error").at("error_px"), false);
  if (trust.curve_spread_px.size() != trust.curve_error_px.size()) {
    throw bad_input("{}.error: spread_px has {} values, error_px {}", where, trust.curve_spread_px.size(),
                    trust.curve_error_px.size());
  }
  const auto scalings = reader.at("score").at("scaling").exactly<kScoreFeatures - 1>();
  for (size_t i = 0; i < scalings.size(); ++i) trust.score_scaling[i + 1] = read_scaling(scalings[i]);
  trust.score_weights = read_weights<kScoreFeatures>(reader.at("score").at("weights"));
  trust.bind(skeleton);
  return trust;
}

std::string Trust::text() const {
  Json json;
  json["version"] = kVersion;
  json["crop"] = {height, width};
  json["flip"] = flip;
  json["people"] = people;
  json["scaling"] = {{"spread", pair(spread)}, {"distance", pair(distance)}, {"score", pair(score)}};
  json["kinds"] = Json::array();
  for (const JointKind& kind : kinds) {
    Json entry = {{"name", kind.name}, {"joints", Json::array()}, {"labelled", kind.labelled}};
    for (const int joint : kind.joints) entry["joints"].push_back(joint_names_[static_cast<size_t>(joint)]);
    entry["step"] = kind.moves ? numbers(kind.step_weights) : Json(nullptr);
    entry["error_factor"] = rounded(kind.error_factor);
    json["kinds"].push_back(entry);
  }
  json["error"] = {{"spread_px", numbers(curve_spread_px)}, {"error_px", numbers(curve_error_px)}};
  Json scalings = Json::array();
  for (size_t i = 1; i < kScoreFeatures; ++i) scalings.push_back(pair(score_scaling[i]));
  json["score"] = {{"scaling", scalings}, {"weights", numbers(score_weights)}};
  return json.dump();
}

}  // namespace posefix::trust
