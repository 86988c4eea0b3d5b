// Progress on stderr: a bar that redraws itself on a terminal, a plain line every few seconds otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace posefix {

class Progress {
 public:
  // `what` names the work ("refine"), `unit` what is counted ("poses"). A quiet one prints nothing.
  Progress(std::string what, std::string unit, int64_t total, bool quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `done` so far, with free text such as "loss 3.21". Cheap: draws at most ten times a second.
  void update(int64_t done, std::string_view detail = {});
  // Draws the last state and ends the line.
  void finish();
  // Units that were done before this process started (a resumed run); they do not count as speed.
  void set_start(int64_t done) { start_ = done; }

 private:
  void draw(std::chrono::steady_clock::time_point now);

  std::string what_;
  std::string unit_;
  int64_t total_;
  int64_t start_ = 0;
  int64_t done_ = 0;
  std::string detail_;
  bool quiet_;
  bool terminal_;
  bool drawn_ = false;
  bool finished_ = false;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point last_draw_;
};

// "1:02:03" or "4:05".
std::string format_duration(double seconds);

}  // namespace posefix
