// The one error type of the library.
//
// A programmer's mistake aborts through PFX_CHECK. Everything that a person, a file, a configuration or the
// environment can get wrong throws Error, which main() catches once; the C API turns it into a code.
// A message says what, where (path, field, byte offset), what was expected and found, and what to do.
// Libraries never print and never exit.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace posefix {

enum class ErrorCode {
  kFailed = 1,         // the run failed: I/O, device, out of memory
  kBadInput = 2,       // the user's file, flag or configuration is wrong
  kInterrupted = 130,  // SIGINT or SIGTERM asked for an orderly end
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }
  int exit_code() const { return static_cast<int>(code_); }

  // The same error with "where: " before its message, e.g. the file that a parser did not know the name of.
  Error within(const std::string& where) const { return Error(code_, where + ": " + what()); }

 private:
  ErrorCode code_;
};

// throw bad_input("{}: entry {}: 'keypoints' has {} numbers, expected {}", path, i, n, 3 * k);
template <typename... Args>
Error bad_input(fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorCode::kBadInput, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
Error failed(fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorCode::kFailed, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace posefix

// A condition that only a bug in this program can break; checked in every build.
#define PFX_CHECK(condition) \
  (static_cast<bool>(condition) ? static_cast<void>(0) : ::posefix::check_failed(#condition, __FILE__, __LINE__))
