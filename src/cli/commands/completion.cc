// posefix completion bash: the shell's completion, from the same declarations as the parser.
#include <fmt/format.h>

#include <cstdio>
#include <map>

#include "base/error.h"
#include "cli/command.h"

namespace posefix::cli {
namespace {

struct Words {
  std::string flags;                                // of a verb of one word, space separated
  std::map<std::string, std::string> second_words;  // "check" of "dataset" -> its flags
};

std::string flags_of(const Command& command) {
  CLI::App app;
  command.setup(app);
  std::string flags = "--help";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name != "help") flags += " --" + name;
    }
  }
  return flags;
}

std::string bash_script() {
  std::map<std::string, Words> verbs;
  for (const Command& command : commands()) {
    const size_t space = command.verb.find(' ');
    Words& words = verbs[command.verb.substr(0, space)];
    if (space == std::string::npos) {
      words.flags = flags_of(command);
    } else {
      words.second_words[command.verb.substr(space + 1)] = flags_of(command);
    }
  }
  std::string first_words;
  std::string cases;
  for (const auto& [verb, words] : verbs) {
    first_words += verb + " ";
    std::string second_words;
    for (const auto& [second, flags] : words.second_words) {
      second_words += second + " ";
      cases += fmt::format("    '{} {}') words='{}' ;;\n", verb, second, flags);
    }
    cases += fmt::format("    '{}'*) words='{}' ;;\n", verb, second_words.empty() ? words.flags : second_words);
  }
  return fmt::format(R"bash(# eval "$(posefix completion bash)"
_posefix() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='{}'
  else
    local verb="${{COMP_WORDS[1]}}"
    [ "$COMP_CWORD" -gt 2 ] && verb+=" ${{COMP_WORDS[2]}}"
    case "$verb" in
{}    esac
  fi
  case "$current" in
    -*) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -f -W "$words" -- "$current") ;;
  esac
}}
complete -o filenames -F _posefix posefix
)bash",
                     first_words, cases);
}

std::function<void()> setup(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash")->required();
  return [shell] {
    if (*shell != "bash") throw bad_input("completion: only 'bash' is known, found '{}'", *shell);
    std::fputs(bash_script().c_str(), stdout);
  };
}

const CommandRegistration registration{"completion", "print the shell's completion script", &setup};

}  // namespace
}  // namespace posefix::cli
