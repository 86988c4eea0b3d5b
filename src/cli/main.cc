// posefix VERB ...: parses the command line, runs one verb, turns errors into exit codes (README.md).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
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
    parent = app.add_subcommand(group, "");
    parent->require_subcommand(1);
  }
  const std::string second = command.verb.substr(space + 1);
  const std::string listed = parent->get_description();
  parent->description(listed.empty() ? "its verbs: " + second : listed + ", " + second);
  return parent->add_subcommand(second, command.help);
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

// The verb that was meant: the deepest subcommand that was recognised.
CLI::App& chosen_verb(CLI::App& app) {
  CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  return *verb;
}

std::string nearest_option(const CLI::App& verb, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return posefix::nearest_name(word.substr(0, word.find('=')), names);
}

// CLI11's messages, with what stands nearest to a misspelt option and what a value should have been.
posefix::Error usage_error(CLI::App& app, const CLI::ParseError& error) {
  constexpr std::string_view kConversion = "Could not convert: ";
  const CLI::App& verb = chosen_verb(app);
  std::string name = verb.get_name();
  for (const CLI::App* parent = verb.get_parent(); parent != nullptr; parent = parent->get_parent()) {
    name.insert(0, parent->get_name() + " ");
  }
  std::string message = error.what();
  const std::vector<std::string> extras = verb.remaining();
  const auto option = std::find_if(extras.begin(), extras.end(), [](const auto& word) { return word[0] == '-'; });
  if (option != extras.end()) {  // a misspelt one that is required would only be called missing
    message = fmt::format("unknown option {}; the nearest is {}", *option, nearest_option(verb, *option));
  } else if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    message = fmt::format("unexpected '{}'; a value belongs behind its option", fmt::join(extras, "' '"));
  } else if (message.starts_with(kConversion)) {
    message = message.substr(kConversion.size());
    const CLI::Option* named = verb.get_option_no_throw(message.substr(0, message.find(' ')));
    const std::string type = named != nullptr ? named->get_type_name() : "";
    message += type.starts_with("INT")    ? ": expected a whole number"
               : type.starts_with("UINT") ? ": expected a whole number, 0 or more"
                                          : ": expected a number";
  } else if (verb.get_parent() == nullptr || !verb.get_subcommands([](const CLI::App*) { return true; }).empty()) {
    message = "a verb is missing";
  }
  return posefix::bad_input("{}; see {} --help", message, name.starts_with("posefix") ? name : "posefix");
}

// A full disk must not look like success.
void flush_output() {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout) return;
  throw posefix::failed("cannot write to standard output: {}", std::strerror(errno));
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
    if (error.get_exit_code() != 0) throw usage_error(app, error);
    app.exit(error);  // --help and --version
    flush_output();
    return 0;
  }
  chosen();
  flush_output();
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
