// Registry of verbs. A new verb is one file in commands/ that ends with
//
//   const CommandRegistration registration{"evaluate", "COCO, MPII and PoseTrack figures of results", &setup};
//
// where setup declares flags on the CLI11 app and returns what to run when the verb was chosen. The verb may have two
// words ("dataset check"). It throws posefix::Error; main() prints it and exits with its code.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace posefix::cli {

using CommandSetup = std::function<std::function<void()>(CLI::App& app)>;

struct Command {
  std::string verb;
  std::string help;
  CommandSetup setup;
};

struct CommandRegistration {
  CommandRegistration(std::string verb, std::string help, CommandSetup setup);
};

// All registered verbs, by name.
std::vector<Command> commands();

// What --json prints: to stdout, with a line end. Bytes of a file's name that are no UTF-8 become U+FFFD.
// `indent`: spaces a level, -1: one line.
void print_json(const nlohmann::ordered_json& json, int indent = 2);

}  // namespace posefix::cli
