#include "train/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"

namespace posefix::train {
namespace {

// "key: value" lines, as Options::resolved_yaml() writes them.
std::map<std::string, std::string> parse_lines(const std::string& yaml) {
  std::map<std::string, std::string> values;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) values[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return values;
}

// Step of a metrics line; -1 for one that is torn or not ours.
int64_t step_of_line(const std::string& line) {
  const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
  const bool good = parsed.is_object() && parsed.contains("step") && parsed["step"].is_number_integer();
  return good ? parsed["step"].get<int64_t>() : -1;
}

// The kept snapshots of `folder` by step.
std::map<int64_t, std::filesystem::path> kept_snapshots(const std::filesystem::path& folder) {
  std::map<int64_t, std::filesystem::path> kept;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kStart = "step_";
    constexpr std::string_view kEnd = ".safetensors";
    if (!name.starts_with(kStart) || !name.ends_with(kEnd)) continue;
    const std::string digits = name.substr(kStart.size(), name.size() - kStart.size() - kEnd.size());
    int64_t step = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
    if (error == std::errc() && end == digits.data() + digits.size()) kept.emplace(step, entry.path());
  }
  return kept;
}

// Numbers of a line of metrics: "train/loss", "validation/ap_after".
report::Scalars scalars_of(const nlohmann::ordered_json& line) {
  report::Scalars scalars;
  for (const auto& [key, value] : line.items()) {
    if (key == "step" || key == "start") continue;
    if (value.is_number()) scalars.emplace_back("train/" + key, value.get<double>());
    if (!value.is_object()) continue;
    for (const auto& [inner, number] : value.items()) {
      if (number.is_number()) scalars.emplace_back(key + "/" + inner, number.get<double>());
    }
  }
  return scalars;
}

// What a killed process left of a file that it was writing.
void remove_unfinished(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(".tmp")) std::filesystem::remove(entry.path());
  }
}

}  // namespace

RunFolder::RunFolder(std::filesystem::path folder, bool resume, bool writes)
    : folder_(std::move(folder)), writes_(writes) {
  if (!writes) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) throw failed("--out {}: cannot make the folder: {}", folder_.string(), error.message());
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) throw failed("--out {}: {}", folder_.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    throw failed("--out {}: another process is training into this folder", folder_.string());
  }
  const bool has_run = std::filesystem::exists(config()) || std::filesystem::exists(last());
  if (has_run && !resume) {
    ::close(lock_);
    throw bad_input("--out {}: holds a run already; add --resume to go on with it, or choose another folder",
                    folder_.string());
  }
  remove_unfinished(folder_);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

std::filesystem::path RunFolder::non_finite(int64_t rank) const {
  return folder_ / fmt::format("non_finite.rank{}.safetensors", rank);
}

std::optional<tensorfile::Snapshot> RunFolder::read_last() const {
  if (!writes_ || !std::filesystem::exists(last())) return std::nullopt;
  try {
    return tensorfile::read_snapshot(last());
  } catch (const Error& error) {
    std::string older;
    for (const auto& [step, path] : kept_snapshots(folder_)) older = path.string();
    if (older.empty()) throw;
    throw Error(error.code(), fmt::format("{}\nto go back to the newest one kept by its step: cp {} {}, then --resume",
                                          error.what(), older, last().string()));
  }
}

void RunFolder::write_last(const tensorfile::Snapshot& snapshot, int64_t step, int64_t keep) const {
  tensorfile::write_snapshot(last(), snapshot);
  if (keep <= 0) return;
  // Another name of the same file: last.safetensors is replaced, never written to.
  const std::filesystem::path by_step = folder_ / fmt::format("step_{:08}.safetensors", step);
  std::error_code error;
  std::filesystem::remove(by_step, error);
  std::filesystem::create_hard_link(last(), by_step, error);
  if (error) tensorfile::write_snapshot(by_step, snapshot);  // a file system without links
  std::map<int64_t, std::filesystem::path> kept = kept_snapshots(folder_);
  kept.erase(kept.upper_bound(step), kept.end());  // of a run that went further before; it writes them again
  for (auto oldest = kept.begin(); static_cast<int64_t>(kept.size()) > keep; oldest = kept.erase(oldest)) {
    std::filesystem::remove(oldest->second, error);
  }
}

RunFolder::Scores RunFolder::open_metrics(int64_t step) {
  Scores scores;
  if (!writes_) return scores;
  if (std::filesystem::exists(metrics())) {
    std::string kept;
    std::istringstream lines(read_file(metrics()));
    for (std::string line; std::getline(lines, line);) {
      const int64_t line_step = step_of_line(line);
      if (line_step < 0 || line_step > step) continue;
      kept += line + "\n";
      const nlohmann::json validation = nlohmann::json::parse(line).value("validation", nlohmann::json());
      if (validation.is_object()) {
        const bool known = validation.contains("score") && validation["score"].is_number();
        scores.emplace_back(line_step, known ? validation["score"].get<double>() : std::nan(""));
      }
    }
    write_file_atomically(metrics(), kept);
  }
  metrics_file_.open(metrics(), std::ios::app);
  if (!metrics_file_) throw failed("{}: cannot write here", metrics().string());
  events_.emplace(folder_, step + 1);
  return scores;
}

void RunFolder::append_metrics(const nlohmann::ordered_json& line) {
  if (!writes_) return;
  metrics_file_ << line.dump() << '\n' << std::flush;
  if (!metrics_file_) throw failed("{}: cannot write (is the disk full?)", metrics().string());
  const report::Scalars scalars = scalars_of(line);
  if (!scalars.empty()) events_->add(line.at("step").get<int64_t>(), scalars);
}

void check_same_config(const std::string& stored_yaml, const std::string& now_yaml,
                       const std::vector<std::string>& may_differ, const std::string& source) {
  const auto stored = parse_lines(stored_yaml);
  const auto now = parse_lines(now_yaml);
  std::set<std::string> keys;
  for (const auto& [key, value] : stored) keys.insert(key);
  for (const auto& [key, value] : now) keys.insert(key);
  std::string differences;
  for (const std::string& key : keys) {
    const auto a = stored.find(key);
    const auto b = now.find(key);
    if (a != stored.end() && b != now.end() && a->second == b->second) continue;
    if (std::find(may_differ.begin(), may_differ.end(), key) != may_differ.end()) continue;
    differences += fmt::format("\n  {}: {} in the run, {} now", key, a == stored.end() ? "absent" : a->second,
                               b == now.end() ? "absent" : b->second);
  }
  if (!differences.empty()) {
    throw bad_input("{}: --resume goes on exactly as the run began, but the configuration differs:{}", source,
                    differences);
  }
}

}  // namespace posefix::train
