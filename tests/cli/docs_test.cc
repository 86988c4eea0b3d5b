// The pages name only verbs and options that the program has.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "base/testing/run_program.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

std::vector<fs::path> pages() {
  std::vector<fs::path> found{project_folder() / "README.md", project_folder() / "models/README.md"};
  for (const auto& entry : fs::directory_iterator(project_folder() / "docs")) {
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  }
  return found;
}

Names all_matches(const std::string& text, const std::regex& pattern) {
  Names found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

// Option names, and the verbs of a group.
struct Help {
  bool exists = false;
  Names options;
  Names verbs;
};

const Help& help_of(const std::vector<std::string>& verb) {
  static std::map<std::vector<std::string>, Help> known;
  const auto [place, is_new] = known.try_emplace(verb);
  if (is_new) {
    std::vector<std::string> arguments = verb;
    arguments.emplace_back("--help");
    const ProgramResult result = run_program(POSEFIX_PROGRAM, arguments);
    place->second = {result.code == 0, all_matches(result.output, std::regex(R"((--[a-z][a-z0-9-]*))")), {}};
    const size_t verbs = result.output.find("Subcommands:");
    if (verbs != std::string::npos) {
      place->second.verbs = all_matches(result.output.substr(verbs), std::regex(R"(\n  ([a-z]+) )"));
    }
  }
  return place->second;
}

// What stands behind "posefix " up to the end of the command: of its line, unless that ends in a backslash, of its
// `quotation`, of its table cell, or before a comment.
std::vector<std::string> commands_of(std::string text) {
  text = std::regex_replace(text, std::regex(R"(\\\n\s*)"), " ");
  std::vector<std::string> commands;
  const std::regex pattern(R"((?:^|[\s`/$(])posefix ([a-z]+[^\n`#|)]*))");
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match) {
    commands.push_back((*match)[1]);
  }
  return commands;
}

TEST(Documentation, CommandsUseVerbsAndOptionsThatExist) {
  const Names verbs = help_of({}).verbs;
  ASSERT_GT(verbs.size(), 10U);
  size_t checked = 0;
  for (const fs::path& page : pages()) {
    for (const std::string& command : commands_of(read_file(page))) {
      std::smatch words;
      ASSERT_TRUE(std::regex_search(command, words, std::regex(R"(^([a-z]+)(?: ([a-z]+))?)")));
      std::vector<std::string> verb{words[1]};
      if (verbs.count(verb.front()) == 0) {
        // Prose: "posefix gives back better poses". A command has options.
        EXPECT_EQ(command.find(" --"), std::string::npos) << page << ": posefix " << command;
        continue;
      }
      const Names& second = help_of(verb).verbs;
      if (!second.empty()) {
        if (second.count(words[2]) == 0) continue;  // "posefix poses" in prose
        verb.push_back(words[2]);
      }
      ++checked;
      for (const std::string& option : all_matches(command, std::regex(R"((--[a-z][a-z0-9-]*))"))) {
        EXPECT_EQ(help_of(verb).options.count(option), 1U) << page << ": posefix " << command << "\nhas no " << option;
      }
    }
  }
  EXPECT_GT(checked, 60U);
}

}  // namespace
}  // namespace posefix
