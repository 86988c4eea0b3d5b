// Runs another program: its own process group, both output streams read, a time limit that ends the whole group.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace posefix::compiler::ascend {

struct ChildResult {
  int exit_code = -1;  // -1 if it did not end by itself
  int signal = 0;      // that ended it, 0 if none
  bool timed_out = false;
  std::string output;  // stdout and stderr as they came, the last 1 MiB
};

// `arguments` without the program's name. `on_output` gets every piece as it comes. Error (failed) if the program
// cannot be started, Error (interrupted) after a signal; in every case no process of the group is left.
ChildResult run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      const std::filesystem::path& working_folder, double timeout_s,
                      const std::function<void(std::string_view)>& on_output);

}  // namespace posefix::compiler::ascend
