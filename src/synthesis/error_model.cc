#include "synthesis/error_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/spelling.h"

namespace posefix::synthesis {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "posefix-errors-1";
constexpr std::array kKinds{ErrorKind::kGood, ErrorKind::kJitter, ErrorKind::kInversion, ErrorKind::kSwap,
                            ErrorKind::kMiss};

// One row of the paper's table. jitter: num_valid <= 10, more; miss: <= 5, <= 10, more; swap: crowded, else.
struct PaperRow {
  std::array<double, 2> jitter;
  std::array<double, 3> miss;
  double inversion;
  std::array<double, 2> swap;
};

const std::map<std::string, PaperRow>& paper_rows() {
  static const std::map<std::string, PaperRow> rows{
      {"nose", {{0.15, 0.10}, {0.15, 0.10, 0.02}, 0.01, {0.02, 0.01}}},
      {"face", {{0.20, 0.15}, {0.15, 0.10, 0.02}, 0.01, {0.02, 0.01}}},
      {"shoulder", {{0.20, 0.15}, {0.20, 0.13, 0.05}, 0.03, {0.15, 0.06}}},
      {"elbow", {{0.20, 0.15}, {0.25, 0.15, 0.10}, 0.03, {0.15, 0.06}}},
      {"wrist", {{0.20, 0.15}, {0.25, 0.15, 0.10}, 0.03, {0.15, 0.06}}},
      {"hip", {{0.25, 0.20}, {0.25, 0.15, 0.10}, 0.06, {0.10, 0.03}}},
      {"knee", {{0.15, 0.10}, {0.25, 0.15, 0.10}, 0.06, {0.10, 0.03}}},
      {"ankle", {{0.15, 0.10}, {0.20, 0.13, 0.05}, 0.06, {0.10, 0.03}}},
  };
  return rows;
}

ErrorRates paper_rates(const PaperRow& row, size_t valid_row, size_t overlap_column) {
  // Crowded: at most 10 valid joints and any overlap, or at most 15 and three or more people.
  const bool crowded = (valid_row <= 1 && overlap_column >= 1) || (valid_row <= 2 && overlap_column >= 2);
  return {row.jitter[valid_row <= 1 ? 0 : 1], row.miss[std::min<size_t>(valid_row, 2)], row.inversion,
          row.swap[crowded ? 0 : 1]};
}

size_t bin_of(const std::vector<int>& limits, int value) {
  return static_cast<size_t>(std::lower_bound(limits.begin(), limits.end(), value) - limits.begin());
}

double& rate(ErrorRates& rates, ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kJitter:
      return rates.jitter;
    case ErrorKind::kMiss:
      return rates.miss;
    case ErrorKind::kInversion:
      return rates.inversion;
    default:
      return rates.swap;
  }
}

// Reads a model from parsed JSON; every complaint names the field.
class Reader {
 public:
  Reader(const json& root, std::string file, const pose::Skeleton& skeleton)
      : root_(root), file_(std::move(file)), skeleton_(skeleton) {}

  ErrorModel read() {
    if (!root_.is_object() || root_.value("format", json()) != kFormat) {
      throw bad_input("{}: field 'format': expected \"{}\"; make the file with `posefix errors fit`", file_, kFormat);
    }
    ErrorModel model;
    model.skeleton = skeleton_.name;
    const json& rule = field(root_, "rule", "");
    if (rule != "nearest" && rule != "zones") {
      throw bad_input("{}: field 'rule': expected \"nearest\" or \"zones\", found {}", file_, rule.dump());
    }
    model.rule = rule == "nearest" ? PlacementRule::kNearest : PlacementRule::kZones;
    model.valid_limits = limits("valid_limits");
    model.overlap_limits = limits("overlap_limits");
    const json& joints = field(root_, "joints", "");
    if (!joints.is_object()) throw bad_input("{}: field 'joints': expected an object by joint name", file_);
    for (const std::string& name : skeleton_.joints) {
      if (!joints.contains(name)) {
        std::vector<std::string> known;
        for (const auto& [key, value] : joints.items()) known.push_back(key);
        throw bad_input(
            "{}: field 'joints': no entry for joint '{}' of skeleton {}; the nearest is '{}'. The file was "
            "made for skeleton {}",
            file_, name, skeleton_.name, nearest_name(name, known), root_.value("skeleton", json("unknown")).dump());
      }
      model.joints.push_back(joint(joints[name], name, model));
    }
    return model;
  }

 private:
  const json& field(const json& parent, const std::string& name, const std::string& where) const {
    if (!parent.is_object() || !parent.contains(name)) {
      throw bad_input("{}: field '{}{}' is missing", file_, where, name);
    }
    return parent.at(name);
  }

  std::vector<double> numbers(const json& value, const std::string& where, double low, double high) const {
    if (!value.is_array()) throw bad_input("{}: field '{}': expected a list of numbers", file_, where);
    std::vector<double> result;
    for (const json& entry : value) {
      if (!entry.is_number() || !(entry.get<double>() >= low && entry.get<double>() <= high)) {
        throw bad_input("{}: field '{}': expected numbers from {} to {}, found {}", file_, where, low, high,
                        entry.dump());
      }
      result.push_back(entry.get<double>());
    }
    return result;
  }

  std::vector<int> limits(const std::string& name) const {
    std::vector<int> result;
    for (const double value : numbers(field(root_, name, ""), name, 0, 1e6)) result.push_back(static_cast<int>(value));
    if (!std::is_sorted(result.begin(), result.end())) throw bad_input("{}: field '{}' must ascend", file_, name);
    return result;
  }

  JointErrors joint(const json& entry, const std::string& name, const ErrorModel& model) const {
    JointErrors errors;
    errors.rates.resize(model.rows() * model.columns());
    const std::string where = fmt::format("joints.{}.", name);
    const json& rates = field(entry, "rates", where);
    const json& distances = field(entry, "distances", where);
    const std::string of_rates = where + "rates.";
    const std::string of_distances = where + "distances.";
    for (const ErrorKind kind : kKinds) {
      const std::string kind_name(error_kind_name(kind));
      const std::string at = fmt::format("{}{}", of_distances, kind_name);
      std::vector<double>& quantiles = errors.distances[static_cast<size_t>(kind)];
      quantiles = numbers(field(distances, kind_name, of_distances), at, 0, 1e4);
      if (quantiles.size() < 2 || !std::is_sorted(quantiles.begin(), quantiles.end())) {
        throw bad_input("{}: field '{}': expected at least two ascending quantiles", file_, at);
      }
      if (kind == ErrorKind::kGood) continue;
      table(field(rates, kind_name, of_rates), fmt::format("{}{}", of_rates, kind_name), kind, model, errors);
    }
    for (const ErrorRates& cell : errors.rates) {
      const double sum = cell.jitter + cell.miss + cell.inversion + cell.swap;
      if (sum > 1 + 1e-9)
        throw bad_input("{}: field '{}rates': the rates of a cell add up to {}, more than 1", file_, where, sum);
    }
    return errors;
  }

  void table(const json& value, const std::string& where, ErrorKind kind, const ErrorModel& model,
             JointErrors& errors) const {
    if (!value.is_array() || value.size() != model.rows()) {
      throw bad_input("{}: field '{}': expected {} rows (one more than valid_limits has)", file_, where, model.rows());
    }
    for (size_t row = 0; row < model.rows(); ++row) {
      const std::vector<double> cells = numbers(value[row], where, 0, 1);
      if (cells.size() != model.columns()) {
        throw bad_input("{}: field '{}': row {} has {} numbers, expected {} (one more than overlap_limits has)", file_,
                        where, row, cells.size(), model.columns());
      }
      for (size_t column = 0; column < cells.size(); ++column) {
        rate(errors.rates[row * model.columns() + column], kind) = cells[column];
      }
    }
  }

  const json& root_;
  std::string file_;
  const pose::Skeleton& skeleton_;
};

json joint_to_json(const JointErrors& errors, const ErrorModel& model) {
  json rates;
  json distances;
  for (const ErrorKind kind : kKinds) {
    const std::string name(error_kind_name(kind));
    distances[name] = errors.distances[static_cast<size_t>(kind)];
    if (kind == ErrorKind::kGood) continue;
    json table = json::array();
    for (size_t row = 0; row < model.rows(); ++row) {
      json cells = json::array();
      for (size_t column = 0; column < model.columns(); ++column) {
        ErrorRates cell = errors.rates[row * model.columns() + column];
        cells.push_back(rate(cell, kind));
      }
      table.push_back(cells);
    }
    rates[name] = table;
  }
  return {{"rates", rates}, {"distances", distances}};
}

}  // namespace

std::string_view error_kind_name(ErrorKind kind) {
  constexpr std::array<std::string_view, kErrorKinds> kNames{"good", "jitter", "inversion", "swap", "miss"};
  return kNames[static_cast<size_t>(kind)];
}

size_t ErrorModel::cell(int num_valid, int num_overlap) const {
  return bin_of(valid_limits, num_valid) * columns() + bin_of(overlap_limits, num_overlap);
}

ErrorModel ErrorModel::paper(const pose::Skeleton& skeleton) {
  ErrorModel model;
  model.skeleton = skeleton.name;
  model.valid_limits = {5, 10, 15};
  model.overlap_limits = {0, 2};
  for (size_t j = 0; j < skeleton.joints.size(); ++j) {
    const std::string kind = j < skeleton.error_kinds.size() ? skeleton.error_kinds[j] : "";
    const auto row = paper_rows().find(kind);
    if (row == paper_rows().end()) {
      std::vector<std::string> known;
      for (const auto& [name, unused] : paper_rows()) known.push_back(name);
      throw bad_input(
          "skeleton {}: error_kinds of joint '{}': '{}' is no row of the paper's table; the nearest is '{}'",
          skeleton.name, skeleton.joints[j], kind, nearest_name(kind, known));
    }
    JointErrors errors;
    for (size_t cell = 0; cell < model.rows() * model.columns(); ++cell) {
      errors.rates.push_back(paper_rates(row->second, cell / model.columns(), cell % model.columns()));
    }
    errors.distances = {{{0, kRadiusGood},
                         {kRadiusGood, kRadiusJitter},
                         {0, kRadiusJitter},
                         {0, kRadiusJitter},
                         {kRadiusJitter, kRadiusMiss}}};
    model.joints.push_back(std::move(errors));
  }
  return model;
}

ErrorModel ErrorModel::load(const std::filesystem::path& path, const pose::Skeleton& skeleton) {
  json root;
  try {
    root = json::parse(MappedFile::open(path)->text());
  } catch (const json::parse_error& error) {
    throw bad_input("{}: byte {}: not JSON: {}", path.string(), error.byte, error.what());
  }
  return Reader(root, path.string(), skeleton).read();
}

ErrorModel ErrorModel::load_or_paper(const std::string& name_or_path, const pose::Skeleton& skeleton) {
  if (name_or_path == "paper") return paper(skeleton);
  if (!std::filesystem::exists(name_or_path)) {
    throw bad_input(
        "error statistics '{}': expected \"paper\" or a file that `posefix errors fit` wrote; there is no "
        "such file",
        name_or_path);
  }
  return load(name_or_path, skeleton);
}

void ErrorModel::save(const std::filesystem::path& path, const pose::Skeleton& skeletons) const {
  PFX_CHECK(joints.size() == skeletons.joints.size());
  json by_name;
  for (size_t j = 0; j < joints.size(); ++j) by_name[skeletons.joints[j]] = joint_to_json(joints[j], *this);
  const json root{{"format", kFormat},
                  {"skeleton", skeleton},
                  {"rule", rule == PlacementRule::kNearest ? "nearest" : "zones"},
                  {"valid_limits", valid_limits},
                  {"overlap_limits", overlap_limits},
                  {"joints", by_name}};
  write_file_atomically(path, root.dump(1) + "\n");
}

}  // namespace posefix::synthesis
