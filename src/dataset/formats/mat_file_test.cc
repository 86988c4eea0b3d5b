#include "dataset/formats/mat_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/project_folder.h"
#include "base/testing/temporary_folder.h"

namespace posefix::dataset::formats {
namespace {

using ::testing::HasSubstr;

std::filesystem::path data(const std::string& name) { return posefix::project_folder() / "tests/data/formats" / name; }

TEST(MatFile, WritesWhatItReadsAndTheSameBytesAgain) {
  const TemporaryFolder folder;
  const std::vector<double> values{1, 2.5, -3, 1e300, 0, 1.0 / 3};
  const size_t shape[] = {1, 2, 3};
  write_mat_array(folder / "a.mat", "joints", shape, values);
  write_mat_array(folder / "b.mat", "joints", shape, values);
  EXPECT_EQ(read_file(folder / "a.mat"), read_file(folder / "b.mat"));
  MatFile file(folder / "a.mat");
  const MatNode node = file.variable("joints");
  EXPECT_EQ(node.numbers(), values);
  EXPECT_EQ(node.shape(), (std::vector<size_t>{1, 2, 3}));
  EXPECT_THAT(bad_input_message([&] { file.variable("joint"); }), HasSubstr("'joints'"));
}

TEST(MatFile, ReadsNestedStructs) {
  MatFile file(data("mpii/mpii_human_pose_v1_u12_1.mat"));
  const MatNode pictures = file.variable("RELEASE").field("annolist");
  EXPECT_EQ(pictures.count(), 5U);
  EXPECT_EQ(pictures.field("image", 1).field("name").text(), "000001001.jpg");
  EXPECT_TRUE(pictures.field("annorect", 2).empty());
  EXPECT_TRUE(pictures.field("no such field", 0).empty());
  bad_input_message([&] { pictures.field("image", 0).field("name").field("x"); });
  EXPECT_THAT(bad_input_message([&] { (void)pictures.field("image", 3).numbers(); }), HasSubstr("annolist[3].image"));
}

TEST(MatFile, RefusesEveryTruncation) {
  const TemporaryFolder folder;
  for (const char* name : {"mpii/mpii_human_pose_v1_u12_1.mat", "lsp/joints.mat", "lspet/joints.mat"}) {
    const std::string bytes = read_file(data(name));
    for (size_t size = 0; size < bytes.size(); size += size < 160 ? 1 : 37) {
      const auto path = folder.write("cut.mat", bytes.substr(0, size));
      bad_input_message([&] { MatFile(path).variable(name[0] == 'm' ? "RELEASE" : "joints"); });
    }
  }
}

TEST(MatFile, DamagedBytesAreAnErrorOrNumbersButNoCrash) {
  const TemporaryFolder folder;
  size_t refused = 0;
  const std::string bytes = read_file(data("lspet/joints.mat"));
  for (uint64_t trial = 0; trial < 200; ++trial) {
    Rng rng(1, 2, trial);
    std::string damaged = bytes;
    const size_t at = 128 + rng.below(bytes.size() - 128);
    damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1 + rng.below(255)));
    const auto path = folder.write("damaged.mat", damaged);
    try {
      MatFile file(path);
      (void)file.variable("joints").numbers();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
      ++refused;
    }
  }
  // zlib's checksum sees everything behind the tag.
  EXPECT_GT(refused, 190U);
}

TEST(MatFile, SaysThatAFileIsNone) {
  const TemporaryFolder folder;
  const auto path = folder.write("a.mat", std::string(300, 'x'));
  EXPECT_THAT(bad_input_message([&] { MatFile(path).variable("joints"); }), HasSubstr("a.mat"));
  EXPECT_THAT(bad_input_message([&] { MatFile(folder / "none.mat"); }), HasSubstr("cannot open"));
}

}  // namespace
}  // namespace posefix::dataset::formats
