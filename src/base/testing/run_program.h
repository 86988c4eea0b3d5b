// Runs a program as a user does.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace posefix {

struct ProgramResult {
  int code = 0;        // exit status; minus the signal that ended it
  std::string output;  // stdout and stderr, in the order of writing
};

// `meanwhile` gets the process id.
ProgramResult run_program(const std::string& program, const std::vector<std::string>& arguments,
                          const std::function<void(int pid)>& meanwhile = {});

}  // namespace posefix
