// posefix VERB ...: parses the command line, runs one verb, turns errors into exit codes (README.md).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/spelling.h"
#include "cli/command.h"

namespace {

using posefix::cli::Command;

// "dataset check" becomes subcommand `check` of `dataset`.
CLI::App* declare(CLI::App& app, std::map<std::string, CLI::App*>& groups, const Command& command) {
  const size_t space = command.verb.find(' ');
  if (space == std::string::npos) return app.add_subcommand(command.verb, command.help);
  const std::string group = command.verb.substr(0, space);
  CLI::App*& parent = groups[group];
  if (parent == nullptr) {
    parent = app.add_subcommand(group, "verbs on " + group);
    parent->require_subcommand(1);
  }
  return parent->add_subcommand(command.verb.substr(space + 1), command.help);
}

// CLI11 would only say that an argument was not expected.
void check_verb(const char* word) {
  std::vector<std::string> first_words;
  for (const Command& command : posefix::cli::commands()) {
    first_words.push_back(command.verb.substr(0, command.verb.find(' ')));
  }
  if (word[0] == '-' || std::find(first_words.begin(), first_words.end(), word) != first_words.end()) return;
  throw posefix::bad_input("unknown verb '{}'; the nearest is '{}'; posefix --help lists all", word,
                           posefix::nearest_name(word, first_words));
}

int run(int argc, char** argv) {
  if (argc > 1) check_verb(argv[1]);
  CLI::App app{"posefix: better 2-D poses from a picture and the poses that any estimator found in it", "posefix"};
  app.set_version_flag("--version", std::string("posefix ") + POSEFIX_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  std::map<std::string, CLI::App*> groups;
  std::function<void()> chosen;
  for (const Command& command : posefix::cli::commands()) {
    CLI::App* verb = declare(app, groups, command);
    std::function<void()> action = command.setup(*verb);
    verb->callback([&chosen, action] { chosen = action; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(posefix::ErrorCode::kBadInput);
  }
  chosen();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  posefix::catch_interrupts();
  try {
    return run(argc, argv);
  } catch (const posefix::Error& error) {
    std::fprintf(stderr, "posefix: %s\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "posefix: out of memory; try a smaller --batch\n");
    return static_cast<int>(posefix::ErrorCode::kFailed);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "posefix: %s\n", error.what());
    return static_cast<int>(posefix::ErrorCode::kFailed);
  }
}
