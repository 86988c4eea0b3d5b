#include "train/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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

// What a killed process left of a file that it was writing.
void remove_unfinished(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".") && name.ends_with(".tmp")) std::filesystem::remove(entry.path());
  }
}

}  // namespace

RunFolder::RunFolder(std::filesystem::path folder, bool resume) : folder_(std::move(folder)) {
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

RunFolder::~RunFolder() { ::close(lock_); }

std::optional<tensorfile::Snapshot> RunFolder::read_last() const {
  if (!std::filesystem::exists(last())) return std::nullopt;
  return tensorfile::read_snapshot(last());
}

void RunFolder::open_metrics(int64_t step) {
  if (std::filesystem::exists(metrics())) {
    std::string kept;
    std::istringstream lines(read_file(metrics()));
    for (std::string line; std::getline(lines, line);) {
      const int64_t line_step = step_of_line(line);
      if (line_step >= 0 && line_step <= step) kept += line + "\n";
    }
    write_file_atomically(metrics(), kept);
  }
  metrics_file_.open(metrics(), std::ios::app);
  if (!metrics_file_) throw failed("{}: cannot write here", metrics().string());
}

void RunFolder::append_metrics(const std::string& json_line) {
  metrics_file_ << json_line << '\n' << std::flush;
  if (!metrics_file_) throw failed("{}: cannot write (is the disk full?)", metrics().string());
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
