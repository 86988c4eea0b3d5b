// The layers of src/: a folder includes only what its row allows, only named folders see LibTorch and oneDNN, and
// nothing includes the command line. docs/architecture.md draws the same table.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "base/testing/project_folder.h"

namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// Direct edges; base is open to all, and whatever a named folder may include is open too.
const std::map<std::string, Names> kAllowed = {
    {"base", {}},
    {"pose", {}},
    {"trust", {"pose"}},
    {"image", {"pose"}},
    {"dataset", {"pose"}},
    {"synthesis", {"pose"}},
    {"sample", {"dataset", "image", "synthesis"}},
    {"graph", {}},
    {"tensorfile", {}},
    {"model", {"graph", "pose", "tensorfile"}},
    {"exporters", {"graph", "tensorfile"}},
    {"kernels", {}},
    {"plan", {}},
    {"compiler", {"graph", "plan", "model", "tensorfile", "runtime"}},
    {"torchgraph", {"graph", "kernels", "tensorfile"}},
    {"runtime", {"kernels", "plan"}},
    {"runtime/backends/torch", {"plan", "runtime", "torchgraph", "model", "tensorfile"}},
    {"refine", {"runtime", "image", "pose", "dataset", "trust"}},
    {"api", {"refine", "runtime"}},
    {"evaluate", {"pose", "dataset"}},
    {"train", {"torchgraph", "model", "sample", "evaluate", "refine", "report"}},
    {"report", {"evaluate", "image"}},
};

// Headers of third parties that only some folders may see.
const std::vector<std::pair<std::regex, Names>> kConfined = {
    {std::regex("(torch|ATen|c10)/.*"), {"torchgraph", "train", "runtime/backends/torch"}},
    {std::regex("oneapi/.*|dnnl.*"), {"runtime/backends/cpu"}},
    {std::regex("CLI/.*"), {"cli"}},
};

struct Include {
  fs::path file;
  std::string folder;  // layer of the including file
  std::string target;  // text between the quotes or brackets
};

std::string layer_of(const fs::path& relative) {
  const std::string text = relative.generic_string();
  for (const char* backend : {"runtime/backends/torch", "runtime/backends/cpu"}) {
    if (text.starts_with(std::string(backend) + "/")) return backend;
  }
  return relative.begin()->string();
}

// A test and what only tests share (FOLDER/testing/) may see more than the code beside it.
bool is_test(const fs::path& file) {
  return file.filename().string().find("_test.cc") != std::string::npos || file.parent_path().filename() == "testing";
}

std::vector<Include> all_includes() {
  const std::regex line_pattern("^\\s*#\\s*include\\s*[\"<]([^\">]+)[\">].*");
  const fs::path root = posefix::project_folder() / "src";
  std::vector<Include> includes;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const fs::path& file = entry.path();
    if ((file.extension() != ".cc" && file.extension() != ".h") || is_test(file)) continue;
    std::ifstream stream(file);
    std::smatch match;
    for (std::string line; std::getline(stream, line);) {
      if (std::regex_match(line, match, line_pattern)) {
        includes.push_back({file, layer_of(file.lexically_relative(root)), match[1]});
      }
    }
  }
  return includes;
}

Names reachable(const std::string& folder) {
  Names names{"base", folder};
  std::vector<std::string> open{folder};
  while (!open.empty()) {
    const auto row = kAllowed.find(open.back());
    open.pop_back();
    if (row == kAllowed.end()) continue;
    for (const std::string& next : row->second) {
      if (names.insert(next).second) open.push_back(next);
    }
  }
  return names;
}

bool is_folder(const std::string& name) { return name == "cli" || kAllowed.contains(name); }

TEST(IncludeLayers, EveryFolderHasARow) {
  for (const auto& entry : fs::directory_iterator(posefix::project_folder() / "src")) {
    if (!entry.is_directory()) continue;
    EXPECT_TRUE(is_folder(entry.path().filename())) << entry.path();
  }
}

TEST(IncludeLayers, NoForbiddenEdge) {
  const std::vector<Include> includes = all_includes();
  ASSERT_GT(includes.size(), 50U);
  for (const Include& include : includes) {
    const std::string target = include.target.substr(0, include.target.find('/'));
    if (!is_folder(target) || include.folder == "cli") continue;
    const std::string base_layer = include.folder.starts_with("runtime/backends/cpu") ? "runtime" : include.folder;
    EXPECT_TRUE(reachable(base_layer).contains(target))
        << include.file << " includes " << include.target << ": " << base_layer << " may not see " << target;
  }
}

TEST(IncludeLayers, ThirdPartiesStayInTheirFolders) {
  for (const Include& include : all_includes()) {
    for (const auto& [pattern, folders] : kConfined) {
      if (std::regex_match(include.target, pattern)) {
        EXPECT_TRUE(folders.contains(include.folder)) << include.file << " includes " << include.target;
      }
    }
  }
}

// A device is data everywhere else; here is who may know one by name.
TEST(IncludeLayers, DevicesAreNamedInTheirFoldersAlone) {
  const std::regex name(
      "(^|[^A-Za-z])(cuda|CUDA|gpu|GPU|nccl|NCCL|npu|NPU|hccl|HCCL|davinci|Ascend|ascend[:/_]|\"ascend\")");
  const Names may_name{"torchgraph", "train", "runtime/backends", "compiler", "cli"};
  const fs::path root = posefix::project_folder() / "src";
  size_t named = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
    const std::string relative = entry.path().lexically_relative(root).generic_string();
    const bool may = std::any_of(may_name.begin(), may_name.end(),
                                 [&](const std::string& folder) { return relative.starts_with(folder); });
    std::ifstream stream(entry.path());
    for (std::string line; std::getline(stream, line);) {
      if (!std::regex_search(line, name)) continue;
      ++named;
      EXPECT_TRUE(may) << relative << ": " << line;
    }
  }
  EXPECT_GT(named, 100U);
}

TEST(IncludeLayers, TheTableHasNoCycle) {
  for (const auto& [folder, row] : kAllowed) {
    for (const std::string& next : row) {
      if (folder.starts_with(next + "/")) continue;
      EXPECT_FALSE(reachable(next).contains(folder)) << folder << " and " << next << " reach each other";
    }
  }
}

TEST(IncludeLayers, ThePageDrawsTheSameTable) {
  std::ifstream page(posefix::project_folder() / "docs/architecture.md");
  const std::regex row("\\| ([a-z]+) \\| .* \\| ([a-z, -]*)\\|");
  std::map<std::string, Names> drawn;
  std::smatch cells;
  for (std::string line; std::getline(page, line);) {
    if (!std::regex_match(line, cells, row) || cells[1] == "folder" || cells[1] == "cli") continue;
    Names& names = drawn[cells[1]];
    const std::string list = cells[2];
    const std::regex word("[a-z]+");
    for (std::sregex_iterator name(list.begin(), list.end(), word), end; name != end; ++name) names.insert(name->str());
  }
  std::map<std::string, Names> expected = kAllowed;
  std::erase_if(expected, [](const auto& entry) { return entry.first.find('/') != std::string::npos; });
  EXPECT_EQ(drawn, expected);
}

}  // namespace
