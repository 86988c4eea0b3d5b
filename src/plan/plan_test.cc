#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "plan/plan_file.h"

namespace posefix::plan {
namespace {

using testing::HasSubstr;

// Picture -> 1x1 convolution -> logits.
std::shared_ptr<Plan> small_plan() {
  auto plan = std::make_shared<Plan>();
  plan->metadata.target = "cpu";
  plan->metadata.precision = "f32";
  plan->metadata.config_yaml = "model.backbone: \"test\"\n";
  plan->metadata.height = 8;
  plan->metadata.width = 4;
  plan->metadata.joints = 2;
  plan->metadata.mean_bgr = {1, 2, 3};
  plan->arena_bytes = 8 * 4 * 16 * 4 + 512;
  plan->tensors = {{"image", 8, 4, 3, DType::kF32, 1, 0, 384}, {"logits", 8, 4, 2, DType::kF32, 1, 512, 2048}};
  plan->weight_infos = {{"w", DType::kF32, {1, 1, 3, 2}, 0, 24}, {"b", DType::kF32, {2}, 64, 8}};
  Step image;
  image.op = Op::kNormaliseImage;
  image.name = "image";
  image.output = 0;
  Step conv;
  conv.name = "out";
  conv.inputs = {0};
  conv.weights = {0, 1};
  conv.output = 1;
  conv.has_bias = true;
  Step decode;
  decode.op = Op::kDecode;
  decode.name = "coords";
  decode.inputs = {1};
  plan->steps = {image, conv, decode};
  plan->kept = {{"logits", 1}};
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  plan->weights = {Tensor::from_f32({1, 1, 3, 2}, values), Tensor(DType::kF32, {2})};
  return plan;
}

TEST(Weight, FactorsApplyToTheOutputChannelsOfTheLayout) {
  const Tensor stored = Tensor::from_f32({1, 1, 2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Weight(stored).values().f32(), testing::ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Weight(stored, {1, 10, 100}, 1).values().f32(), testing::ElementsAre(1, 20, 300, 4, 50, 600));
  EXPECT_THAT(Weight(stored, {1, 10}, 3).values().f32(), testing::ElementsAre(1, 2, 3, 40, 50, 60));
}

// What is written of such a weight are its values.
TEST(Weight, FactorsAreGoneFromTheFile) {
  const auto plan = small_plan();
  plan->weights[0] = Weight(plan->values(0), {2, 3}, 1);
  const auto plain = small_plan();
  plain->weights[0] = Tensor::from_f32({1, 1, 3, 2}, std::vector<float>{2, 6, 6, 12, 10, 18});
  EXPECT_EQ(encode_plan(*plan), encode_plan(*plain));
}

class PlanFile : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) / (std::string("plan_test_") + test->name() + ".plan");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void write(const std::vector<std::byte>& bytes) const {
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  std::string error_of(const std::vector<std::byte>& bytes) const {
    write(bytes);
    try {
      read_plan(path_);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
      return error.what();
    }
    return "";
  }

  std::filesystem::path path_;
};

TEST_F(PlanFile, ReadsBackWhatWasWritten) {
  const auto plan = small_plan();
  write_plan(path_, *plan);
  EXPECT_TRUE(is_plan_file(path_));
  const auto read = read_plan(path_);
  EXPECT_EQ(encode_plan(*read), encode_plan(*plan));
  EXPECT_EQ(read->metadata.config_yaml, plan->metadata.config_yaml);
  EXPECT_EQ(read->values(0).f32()[5], 6);
  read->release_pages();
  EXPECT_EQ(read->values(0).f32()[5], 6) << "pages come back when they are read again";
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read->values(1).bytes().data()) % 64, 0U);
  EXPECT_EQ(to_text(*read), to_text(*plan));
}

TEST_F(PlanFile, ACalibrationIsThereOnlyIfTheModelHasOne) {
  const auto plan = small_plan();
  const std::vector<std::byte> without = encode_plan(*plan);
  plan->metadata.trust = "{}";
  EXPECT_NE(encode_plan(*plan), without);
  write_plan(path_, *plan);
  EXPECT_EQ(read_plan(path_)->metadata.trust, "{}");
  EXPECT_EQ(encode_plan(*read_plan(path_)), encode_plan(*plan));
}

TEST_F(PlanFile, EveryFlippedBitIsRefused) {
  const std::vector<std::byte> good = encode_plan(*small_plan());
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> bad = good;
    bad[i] ^= static_cast<std::byte>(1 << (i % 8));
    EXPECT_THAT(error_of(bad), HasSubstr("offset")) << "byte " << i;
  }
}

TEST_F(PlanFile, EveryTruncationIsRefused) {
  const std::vector<std::byte> good = encode_plan(*small_plan());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(error_of({good.begin(), good.begin() + static_cast<ptrdiff_t>(size)}), HasSubstr("offset")) << size;
  }
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{0});
  EXPECT_THAT(error_of(longer), HasSubstr("appended"));
}

TEST_F(PlanFile, ANewerVersionSaysSo) {
  std::vector<std::byte> newer = encode_plan(*small_plan());
  newer[8] = std::byte{3};
  EXPECT_THAT(error_of(newer), HasSubstr("offset 8: format version 3, this program reads 1 to 2; use a newer posefix"));
}

// With choices for two batches.
std::shared_ptr<Plan> small_tuned_plan() {
  const auto plan = small_plan();
  plan->metadata.cpu_features = "a CPU";
  plan->tunings = {{1, 2, {{1, {Method::kOneDnn}}}}, {8, 2, {{1, {Method::kOwnPointwise}}}}};
  return plan;
}

TEST_F(PlanFile, KeepsWhatItWasTunedTo) {
  const auto plan = small_tuned_plan();
  write_plan(path_, *plan);
  const auto read = read_plan(path_);
  EXPECT_EQ(encode_plan(*read), encode_plan(*plan));
  EXPECT_EQ(read->metadata.cpu_features, "a CPU");
  EXPECT_THAT(to_text(*read), HasSubstr("tuned for batch 8 on 2 threads, a CPU:\n   1 out own_1x1"));
  for (const auto& [max_batch, tuned_for] : {std::pair(1, 1), {2, 8}, {8, 8}, {9, 8}}) {
    EXPECT_EQ(tuning_for(*read, max_batch)->batch, tuned_for) << max_batch;
  }
  EXPECT_EQ(tuning_for(*small_plan(), 1), nullptr);
}

TEST_F(PlanFile, APlanThatWasNotTunedIsOfTheFirstVersion) {
  EXPECT_EQ(encode_plan(*small_plan())[8], std::byte{1});
  EXPECT_EQ(encode_plan(*small_tuned_plan())[8], std::byte{2});
}

constexpr size_t kTuningBytes = 4 + 2 * (12 + 16);  // of small_tuned_plan(), at the end of its file

// In what such a file has more than others.
TEST_F(PlanFile, EveryFlippedBitAndTruncationOfTheChoicesIsRefused) {
  const std::vector<std::byte> good = encode_plan(*small_tuned_plan());
  for (size_t i = 0; i < good.size(); ++i) {
    const bool is_table = i >= 32 + 5 * 32 && i < 32 + 6 * 32;
    if (!is_table && i < good.size() - kTuningBytes) continue;
    std::vector<std::byte> bad = good;
    bad[i] ^= static_cast<std::byte>(1 << (i % 8));
    EXPECT_THAT(error_of(bad), HasSubstr("offset")) << "byte " << i;
    EXPECT_THAT(error_of({good.begin(), good.begin() + static_cast<ptrdiff_t>(i)}), HasSubstr("offset")) << i;
  }
}

// The checksums are right and the choices make no sense: refused with the offset of the record.
TEST_F(PlanFile, AForgedChoiceIsRefusedWhereItStands) {
  const std::vector<std::byte> good = encode_plan(*small_tuned_plan());
  const size_t section = good.size() - kTuningBytes;
  const auto forged = [&](size_t at, uint32_t value) {
    std::vector<std::byte> bad = good;
    std::memcpy(bad.data() + section + at, &value, sizeof value);
    const uint32_t section_crc = crc32c(std::span(bad).subspan(section));
    std::memcpy(bad.data() + 32 + 5 * 32 + 4, &section_crc, sizeof section_crc);
    std::memset(bad.data() + 24, 0, 4);
    const uint32_t header_crc = crc32c(std::span(bad).first(32 + 6 * 32));
    std::memcpy(bad.data() + 24, &header_crc, sizeof header_crc);
    return error_of(bad);
  };
  const auto at = [&](size_t offset) { return "offset " + std::to_string(section + offset) + ": "; };
  EXPECT_THAT(forged(0, 0), HasSubstr(at(0) + "no choices"));
  EXPECT_THAT(forged(0, 1), HasSubstr(at(32) + "28 bytes too many"));
  EXPECT_THAT(forged(0, 0xFFFFFFFF), HasSubstr(at(0) + "4294967295 records do not fit"));
  EXPECT_THAT(forged(4, 0), HasSubstr(at(4) + "choices for a batch of 0 after 0"));
  EXPECT_THAT(forged(4, 8), HasSubstr(at(32) + "choices for a batch of 8 after 8"));
  EXPECT_THAT(forged(8, 0), HasSubstr(at(4) + "0 threads"));
  EXPECT_THAT(forged(16, 3), HasSubstr(at(16) + "a choice for step 3 of 3"));
  EXPECT_THAT(forged(16, 2), HasSubstr(at(16) + "a choice for step 2, which is Decode"));
  EXPECT_THAT(forged(20, 9), HasSubstr(at(16) + "method 9 is not known"));
  EXPECT_THAT(forged(20, 4), HasSubstr(at(16) + "out (Conv2d [1, 1, 3, 2]) cannot be computed as own_winograd_0x0"));
  EXPECT_THAT(forged(24, 4), HasSubstr(at(16) + "out (Conv2d [1, 1, 3, 2]) cannot be computed as onednn"));
}

TEST_F(PlanFile, AForeignFileSaysSo) {
  write(std::vector<std::byte>(4096, std::byte{'x'}));
  EXPECT_FALSE(is_plan_file(path_));
  EXPECT_THAT(error_of(std::vector<std::byte>(4096, std::byte{'x'})), HasSubstr("not a plan file"));
}

// A forged file has right checksums: what it claims is checked for its sense.
TEST(Validate, NamesTheFirstBrokenInvariant) {
  const auto broken = [](const std::function<void(Plan&)>& change) {
    const auto plan = small_plan();
    change(*plan);
    return validate(*plan).message;
  };
  EXPECT_EQ(broken([](Plan&) {}), "");
  EXPECT_THAT(broken([](Plan& p) { p.tensors[1].offset = 4096; }), HasSubstr("leaves the arena"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[1].offset = ~uint64_t{63}; }), HasSubstr("leaves the arena"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[0].bytes = 64; }), HasSubstr("its shape needs"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[0].height = int64_t{1} << 40; }), HasSubstr("tensor 'image'"));
  EXPECT_THAT(broken([](Plan& p) { p.weight_infos[0].offset = 128; }), HasSubstr("lies at 128, expected 0"));
  EXPECT_THAT(broken([](Plan& p) { p.weight_infos[1].offset = 0; }), HasSubstr("lies at 0, expected 64"));
  EXPECT_THAT(broken([](Plan& p) { p.weight_infos[0].shape = {1, 1, 4, 2}; }), HasSubstr("its shape needs"));
  EXPECT_THAT(broken([](Plan& p) { p.weight_infos[1].shape = {65536, 65536, 65536, 65536}; }), HasSubstr("too large"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].inputs = {7}; }), HasSubstr("tensor id 7"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].inputs = {1}; }), HasSubstr("before a step wrote it"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].weights = {0, -3}; }), HasSubstr("weight id -3"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].stride = 0; }), HasSubstr("stride 0"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].pads = {1, 0, 0, 0}; }), HasSubstr("expected [B,9,4,2]"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].has_residual = true; }), HasSubstr("1 inputs"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].op = static_cast<Op>(99); }), HasSubstr("op code 99"));
  EXPECT_THAT(broken([](Plan& p) { p.steps.pop_back(); }), HasSubstr("0 decoding steps"));
  EXPECT_THAT(broken([](Plan& p) { p.metadata.joints = 3; }), HasSubstr("joints"));
  EXPECT_THAT(broken([](Plan& p) { p.kept[0].tensor = 9; }), HasSubstr("kept tensor"));
  EXPECT_THAT(broken([](Plan& p) { p.tunings = {{1, 1, {}}}; }), HasSubstr("names no CPU"));
}

// The same with whole numbers: picture -> u8 -> 1x1 convolution with i8 weights -> logits in f32.
std::shared_ptr<Plan> small_int8_plan() {
  const auto plan = small_plan();
  plan->metadata.precision = "int8";
  plan->arena_bytes += 128;
  plan->tensors.push_back({"image/int8", 8, 4, 3, DType::kU8, 2.0F, 2560, 128});
  plan->weight_infos = {{"w", DType::kI8, {1, 1, 3, 2}, 0, 6}, {"s", DType::kF32, {2}, 64, 8}};
  plan->weights[0] = Tensor(DType::kI8, {1, 1, 3, 2});
  Step convert;
  convert.op = Op::kConvert;
  convert.name = "image/int8";
  convert.inputs = {0};
  convert.output = 2;
  plan->steps.insert(plan->steps.begin() + 1, convert);
  plan->steps[2].inputs = {2};
  plan->steps[2].has_bias = false;
  return plan;
}

TEST_F(PlanFile, KeepsTypesAndScales) {
  const auto plan = small_int8_plan();
  write_plan(path_, *plan);
  const auto read = read_plan(path_);
  EXPECT_EQ(encode_plan(*read), encode_plan(*plan));
  EXPECT_EQ(read->tensors[2].dtype, DType::kU8);
  EXPECT_EQ(read->tensors[2].scale, 2.0F);
  EXPECT_EQ(weight_scales(*read, read->steps[2]), 1);
  EXPECT_THAT(to_text(*read), HasSubstr("u8[B,8,4,3] at 2560 scale 2"));
}

TEST(Validate, NamesWhatIsWrongWithWholeNumbers) {
  const auto broken = [](const std::function<void(Plan&)>& change) {
    const auto plan = small_int8_plan();
    change(*plan);
    return validate(*plan).message;
  };
  EXPECT_EQ(broken([](Plan&) {}), "");
  EXPECT_THAT(broken([](Plan& p) { p.metadata.precision = "f32"; }), HasSubstr("holds u8 in a plan in f32"));
  EXPECT_THAT(broken([](Plan& p) { p.metadata.precision = "int4"; }), HasSubstr("precision 'int4'"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[2].scale = 0; }), HasSubstr("has scale 0"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[2].scale = -1; }), HasSubstr("has scale -1"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[2].inputs = {0}; }), HasSubstr("input 0 is f32"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[2].weights = {0}; }), HasSubstr("1 weights"));
  EXPECT_THAT(broken([](Plan& p) { p.weight_infos[1].shape = {1, 2}; }), HasSubstr("scales do not fit"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].op = Op::kRelu; }), HasSubstr("writes u8"));
  EXPECT_THAT(broken([](Plan& p) { p.steps[1].op = Op::kMaxPool, p.steps[1].kernel = 1; }), HasSubstr("type or scale"));
  EXPECT_THAT(broken([](Plan& p) { p.tensors[1].dtype = DType::kI8; }), HasSubstr("logits are not f32"));
}

}  // namespace
}  // namespace posefix::plan
