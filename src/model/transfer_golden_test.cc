// The ImageNet checkpoints of the goldens: what the reference's loader takes, and leaves, is what transfer() does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/testing/project_folder.h"
#include "model/posefix_net.h"
#include "model/transfer.h"
#include "tensorfile/checkpoint.h"

namespace posefix::model {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

fs::path goldens() {
  const char* folder = std::getenv("POSEFIX_GOLDENS");
  return fs::path(folder != nullptr ? folder : posefix::project_folder() / "tests/golden") / "checkpoints";
}

// The configuration that a trunk's first filter tells: "resnet_v1_50/conv1/weights" [7,7,3,64/divisor].
ModelConfig config_of(const NamedTensors& tensors, std::string& first_layer) {
  for (const auto& [name, tensor] : tensors) {
    if (!name.ends_with("/conv1/weights") || name.find("/block") != std::string::npos) continue;
    first_layer = name;
    const int64_t divisor = 64 / tensor.shape().at(3);
    ModelConfig config;
    const std::string prefix = "resnet_v1_";
    config.backbone = "resnet" + name.substr(prefix.size(), name.find('/') - prefix.size());
    config.width = divisor == 1 ? "1" : "1/" + std::to_string(divisor);
    return config;
  }
  return {};
}

TEST(TransferGolden, ImageNetWeightsAsTheReferenceTakesThem) {
  const Json cases = Json::parse(std::ifstream(goldens() / "expected.json"));
  size_t found = 0;
  for (const auto& [name, expected] : cases.items()) {
    if (!expected.contains("load_into_network")) continue;
    SCOPED_TRACE(name);
    ++found;
    const fs::path path = goldens() / expected.at("open").get<std::string>();
    const TransferSource source{tensorfile::read_checkpoint(path), path.string(), {}};
    std::string first_layer;
    const graph::Graph graph = build(config_of(source.tensors, first_layer), 17);
    const NamedTensors initial = initialise(graph, 3);
    const Transfer result = transfer(graph, initial, {}, source, false);

    const Json& load = expected.at("load_into_network");
    const auto rows = [&](std::string_view outcome) {
      return std::count_if(result.rows.begin(), result.rows.end(), [&](const auto& r) { return r.outcome == outcome; });
    };
    EXPECT_EQ(rows("loaded"), load.at("replaced").get<int64_t>());
    EXPECT_EQ(rows("partly"), 1);
    std::vector<std::string> unused;
    for (const TransferRow& row : result.rows) {
      if (row.outcome == "ignored" || row.outcome == "dropped") unused.push_back(row.name);
    }
    std::sort(unused.begin(), unused.end());
    EXPECT_EQ(unused, load.at("unused").get<std::vector<std::string>>());
    EXPECT_TRUE(result.state.empty());

    const std::span<const float> filter = result.variables.at(first_layer).f32();
    const Shape& shape = result.variables.at(first_layer).shape();
    const int64_t out = shape.at(3);
    for (int64_t i = 0; i < result.variables.at(first_layer).count(); ++i) {
      const int64_t channel = i / out % shape.at(2);
      const int64_t position = i / out / shape.at(2);
      const float value =
          channel < 3
              ? source.tensors.at(first_layer).f32()[static_cast<size_t>((position * 3 + channel) * out + i % out)]
              : initial.at(first_layer).f32()[static_cast<size_t>(i)];
      ASSERT_EQ(filter[static_cast<size_t>(i)], value) << i;
    }
  }
  EXPECT_GT(found, 0U);
}

// The reference's own training snapshot: everything is taken, Adam's slots and step number too.
TEST(TransferGolden, ATrainingSnapshotComesWithItsState) {
  const Json cases = Json::parse(std::ifstream(goldens() / "expected.json"));
  size_t found = 0;
  for (const auto& [name, expected] : cases.items()) {
    std::map<std::string, Json> tensors;
    for (const Json& tensor : expected.at("tensors")) tensors.emplace(tensor.at("name").get<std::string>(), tensor);
    if (!tensors.contains("out/weights/Adam")) continue;
    SCOPED_TRACE(name);
    ++found;
    const fs::path path = goldens() / expected.at("open").get<std::string>();
    const TransferSource source{tensorfile::read_checkpoint(path), path.string(), {}};
    std::string first_layer;
    const int64_t joints = source.tensors.at("out/biases").count();
    const graph::Graph graph = build(config_of(source.tensors, first_layer), joints);
    const Transfer result = transfer(graph, initialise(graph, 3), {}, source, false);
    for (const auto& [variable, value] : result.variables) {
      EXPECT_TRUE(std::ranges::equal(value.bytes(), source.tensors.at(variable).bytes())) << variable;
    }
    size_t slots = 0;
    for (const auto& [tensor, facts] : tensors)
      slots += tensor.ends_with("/Adam") || tensor.ends_with("/Adam_1") ? 1 : 0;
    EXPECT_EQ(result.state.size(), slots);
    for (const auto& [key, value] : result.state) {
      const bool mean = key.starts_with("optimizer/m/");
      const std::string slot = key.substr(std::string("optimizer/m/").size()) + (mean ? "/Adam" : "/Adam_1");
      EXPECT_TRUE(std::ranges::equal(value.bytes(), source.tensors.at(slot).bytes())) << slot;
    }
    const double power = source.tensors.at("beta1_power").f32()[0];
    EXPECT_NEAR(std::pow(0.9, static_cast<double>(result.step + 1)), power, 1e-6 * power);
  }
  EXPECT_GT(found, 0U);
}

}  // namespace
}  // namespace posefix::model
