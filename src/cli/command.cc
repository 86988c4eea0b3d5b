#include "cli/command.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

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

void print_json(const nlohmann::ordered_json& json, int indent) {
  const std::string text = json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace posefix::cli
