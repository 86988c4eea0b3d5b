#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/mapped_pages.h"
#include "base/spelling.h"
#include "base/testing/bad_input_message.h"
#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder_.path()), {})); }
  TemporaryFolder folder_;
};

TEST_F(FileTest, CommitReplacesAtOnceAndLeavesNothingBeside) {
  const fs::path target = folder_ / "a.txt";
  write_file_atomically(target, "old");
  {
    AtomicFile file(target);
    file.write("new ");
    EXPECT_EQ(read_file(target), "old");
    file.write("text");
    EXPECT_EQ(file.size(), 8U);
    file.commit();
  }
  EXPECT_EQ(read_file(target), "new text");
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, WithoutCommitTheOldFileStays) {
  const fs::path target = folder_ / "a.txt";
  write_file_atomically(target, "old");
  { AtomicFile(target).write("half"); }
  EXPECT_EQ(read_file(target), "old");
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, AMissingFileSaysWhatLiesThereInstead) {
  write_file_atomically(folder_ / "results_val.json", "[]");
  write_file_atomically(folder_ / "notes.txt", "");
  try {
    read_file(folder_ / "result_val.json");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    EXPECT_THAT(error.what(), HasSubstr("result_val.json"));
    EXPECT_THAT(error.what(), HasSubstr("holds: results_val.json, notes.txt"));
  }
  EXPECT_THROW(read_file(folder_.path()), Error);
  EXPECT_THROW(read_file(folder_ / "no" / "such"), Error);
  EXPECT_THROW(AtomicFile(folder_ / "no" / "such"), Error);
}

TEST_F(FileTest, AnOutputThatCannotBeWrittenIsRefusedBeforehand) {
  const auto refusal = [](const fs::path& path) { return bad_input_message([&] { check_can_write(path); }); };
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("is a folder"));
  EXPECT_THAT(refusal(folder_ / "no" / "a.txt"), HasSubstr("no does not exist"));
  write_file_atomically(folder_ / "file", "text");
  EXPECT_THAT(refusal(folder_ / "file" / "a.txt"), HasSubstr("file is not a folder"));
  check_can_write(folder_ / "file");
  EXPECT_EQ(read_file(folder_ / "file"), "text");
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, AnEmptyFileMapsToAnEmptySpan) {
  write_file_atomically(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder_ / "empty")->bytes().empty());
}

TEST_F(FileTest, PagesOfAMappedFileComeBackAndOtherMemoryStays) {
  std::string text(10000, 'a');
  text += "end";
  write_file_atomically(folder_ / "mapped", text);
  const auto file = MappedFile::open(folder_ / "mapped");
  ASSERT_EQ(file->text(), text);
  release_pages(file->bytes().subspan(5000, 100));
  release_pages(file->bytes());
  EXPECT_EQ(file->text(), text);
  const std::string own = text;
  release_pages(std::as_bytes(std::span(own)));
  release_pages({});
  EXPECT_EQ(own, text);
}

TEST(Spelling, DistanceAndNearest) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(nearest_name("resnet51", {"resnet152", "resnet50", "hrnet"}), "resnet50");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace posefix
