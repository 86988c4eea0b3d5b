#include "cli/command.h"

#include <algorithm>

namespace posefix::cli {
namespace {

std::vector<Command>& registry() {
  static std::vector<Command> commands;
  return commands;
}

}  // namespace

CommandRegistration::CommandRegistration(std::string verb, std::string help, CommandSetup setup) {
  registry().push_back({std::move(verb), std::move(help), std::move(setup)});
}

std::vector<Command> commands() {
  std::vector<Command> sorted = registry();
  std::sort(sorted.begin(), sorted.end(), [](const Command& a, const Command& b) { return a.verb < b.verb; });
  return sorted;
}

}  // namespace posefix::cli
