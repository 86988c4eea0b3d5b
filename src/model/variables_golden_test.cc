// Names and shapes of all variables against the reference's (golden/network/variables_BACKBONE_wD.json).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "model/posefix_net.h"

namespace posefix::model {
namespace {

std::filesystem::path goldens() {
  const char* folder = std::getenv("POSEFIX_GOLDENS");
  return folder != nullptr ? folder : posefix::project_folder() / "tests/golden";
}

TEST(VariablesGolden, NamesAndShapesEqualTheReferences) {
  const std::regex pattern("variables_(resnet[0-9]+)_w([0-9]+)\\.json");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(goldens() / "network")) {
    std::smatch match;
    const std::string name = entry.path().filename().string();
    if (!std::regex_match(name, match, pattern)) continue;
    SCOPED_TRACE(name);
    ++files;
    ModelConfig config;
    config.backbone = match[1];
    config.width = match[2] == "1" ? "1" : "1/" + match[2].str();
    const graph::Graph graph = build(config, 17);
    nlohmann::json expected = nlohmann::json::parse(read_file(entry.path()));
    std::map<std::string, Shape> found;
    for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
      found[graph.node(id).name] = graph.node(id).type.shape;
    }
    EXPECT_EQ(found, (expected.get<std::map<std::string, Shape>>()));
  }
  EXPECT_GT(files, 0) << "no variables_*.json in " << goldens() / "network";
}

}  // namespace
}  // namespace posefix::model
