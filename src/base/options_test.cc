#include "base/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing/bad_input_message.h"

namespace posefix {
namespace {

using testing::HasSubstr;

struct Config {
  std::string backbone = "resnet50";
  int64_t batch = 8;
  double rate = 5e-4;
  bool flip = true;
  std::vector<int64_t> size{256, 192};
  Options options;
  Config() {
    options.add("model.backbone", &backbone, "trunk");
    options.add("model.input_size", &size, "height, width");
    options.add("train.batch_size", &batch, "samples a step",
                [this] { return batch > 0 ? std::string() : std::string("must be positive"); });
    options.add("train.rate", &rate, "Adam's");
    options.add("train.flip", &flip, "mirror");
  }
};

TEST(Options, ReadsNestedAndDottedKeys) {
  Config config;
  config.options.load_text("model:\n  backbone: resnet101\n  input_size: [384, 288]\ntrain.batch_size: 3\n", "c.yaml");
  EXPECT_EQ(config.backbone, "resnet101");
  EXPECT_EQ(config.size, (std::vector<int64_t>{384, 288}));
  EXPECT_EQ(config.batch, 3);
  config.options.set("train.rate=1e-5");
  EXPECT_EQ(config.rate, 1e-5);
}

TEST(Options, ResolvedTextReadsBackToTheSameValues) {
  Config first;
  first.options.load_text("train: {rate: 0.1, flip: false}\nmodel: {backbone: \"a: b\"}", "c.yaml");
  Config second;
  second.options.load_text(first.options.resolved_yaml(), "resolved");
  EXPECT_EQ(second.options.resolved_yaml(), first.options.resolved_yaml());
  EXPECT_EQ(second.backbone, "a: b");
  EXPECT_EQ(second.rate, 0.1);
  EXPECT_FALSE(second.flip);
}

TEST(Options, UnknownKeyNamesFileLineAndTheNearest) {
  Config config;
  const std::string message = bad_input_message(
      [&] { config.options.load_text("model:\n  backbone: resnet50\n  imput_size: [1, 2]\n", "c.yaml"); });
  EXPECT_THAT(message, HasSubstr("c.yaml: line 3"));
  EXPECT_THAT(message, HasSubstr("unknown key 'model.imput_size'"));
  EXPECT_THAT(message, HasSubstr("'model.input_size'"));
}

TEST(Options, OneSectionOfAFileCanBeReadAlone) {
  std::string poses;
  Options options;
  options.only("calibrate");
  options.add("calibrate.poses", &poses, "");
  options.load_text("model: {backbone: resnet50}\ntrain.rate: 1\ncalibrate: {poses: p.json}\n", "c.yaml");
  EXPECT_EQ(poses, "p.json");
  options.set("train.rate=2");
  EXPECT_THAT(bad_input_message([&] { options.load_text("calibrate:\n  pose: a\n", "c.yaml"); }),
              HasSubstr("unknown key 'calibrate.pose'; the nearest known key is 'calibrate.poses'"));
}

TEST(Options, WrongValuesSayWhatWasExpectedAndFound) {
  Config config;
  EXPECT_THAT(bad_input_message([&] { config.options.set("train.batch_size=many"); }),
              HasSubstr("'train.batch_size' must be a whole number, found many"));
  EXPECT_THAT(bad_input_message([&] { config.options.set("train.batch_size=0"); }),
              HasSubstr("must be positive, found 0"));
  EXPECT_THAT(bad_input_message([&] { config.options.set("train.batch_size"); }), HasSubstr("expected key=value"));
  EXPECT_THAT(bad_input_message([&] { config.options.load_text("model: 3", "c.yaml"); }),
              HasSubstr("is a group of keys"));
  EXPECT_THAT(bad_input_message([&] { config.options.load_text("model: [", "c.yaml"); }), HasSubstr("not valid YAML"));
  EXPECT_THAT(bad_input_message([&] { config.options.load_text("just text", "c.yaml"); }), HasSubstr("key: value"));
}

}  // namespace
}  // namespace posefix
