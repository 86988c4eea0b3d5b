#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace posefix {

using std::chrono::steady_clock;

std::string format_duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::lround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

Progress::Progress(std::string what, std::string unit, int64_t total, bool quiet)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      quiet_(quiet),
      terminal_(isatty(STDERR_FILENO) != 0),
      began_(steady_clock::now()),
      last_draw_(began_) {}

Progress::~Progress() {
  if (drawn_ && !finished_ && terminal_) std::fputc('\n', stderr);
}

void Progress::update(int64_t done, std::string_view detail) {
  done_ = done;
  if (quiet_) return;
  detail_ = detail;
  const auto now = steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (now - last_draw_ < interval) return;
  if (!terminal_ && done >= total_) return;  // finish() prints that line
  last_draw_ = now;
  draw(now);
}

void Progress::finish() {
  if (quiet_ || finished_) return;
  draw(steady_clock::now());
  if (terminal_) std::fputc('\n', stderr);
  finished_ = true;
}

void Progress::draw(steady_clock::time_point now) {
  const double elapsed = std::chrono::duration<double>(now - began_).count();
  const double speed = elapsed > 0 ? static_cast<double>(done_ - start_) / elapsed : 0;
  const double left = speed > 0 ? static_cast<double>(total_ - done_) / speed : 0;
  const double share = total_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0) : 1;
  std::string line =
      fmt::format("{} {}/{} {}, {:.1f} {}/s, {}", what_, done_, total_, unit_, speed, unit_,
                  done_ >= total_ ? "took " + format_duration(elapsed) : format_duration(left) + " left");
  if (!detail_.empty()) line += ", " + detail_;
  if (terminal_) {
    constexpr int kBarWidth = 24;
    const int filled = static_cast<int>(share * kBarWidth);
    line = fmt::format("\r[{}{}] {}\x1b[K", std::string(static_cast<size_t>(filled), '#'),
                       std::string(static_cast<size_t>(kBarWidth - filled), '.'), line);
  } else {
    line += '\n';
  }
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace posefix
