// The samples of real data sets under $POSEFIX_GOLDEN_DATA/samples: converted to COCO form and back.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/testing/temporary_folder.h"
#include "dataset/formats/dataset_formats.h"
#include "dataset/formats/mpii.h"
#include "dataset/formats/posetrack.h"
#include "pose/golden_test_files.h"

namespace posefix::dataset::formats {
namespace {

using nlohmann::json;

DatasetSource source(const std::filesystem::path& folder) { return {folder, {}, {}}; }

TEST(MpiiSamples, ListsComeBackAsTheyWere) {
  const std::filesystem::path folder = pose::golden_data() / "samples/mpii";
  for (const auto& path : pose::golden_files(folder, ".json")) {
    SCOPED_TRACE(path);
    const TemporaryFolder scratch;
    const Conversion conversion = read_mpii(source(path));
    ASSERT_EQ(conversion.splits.size(), 1U);
    write_annotation_set(scratch / "coco.json", conversion.splits[0].set);
    std::filesystem::create_directories(scratch / "out");
    write_mpii(read_coco_splits(scratch / "coco.json", "mpii16"), scratch / "out");
    EXPECT_EQ(pose::read_golden(scratch / "out/coco.json"), pose::read_golden(path));
  }
}

TEST(PoseTrackSamples, VideosComeBackWithAllTheyHeld) {
  const std::filesystem::path folder = pose::golden_data() / "samples/posetrack18/annotations/val";
  const auto files = pose::golden_files(folder, ".json");
  const TemporaryFolder scratch;
  const Conversion conversion = read_posetrack(source(folder));
  ASSERT_EQ(conversion.splits.size(), 1U);
  EXPECT_EQ(conversion.splits[0].name, "val2018");
  write_annotation_set(scratch / "val2018.json", conversion.splits[0].set);
  write_posetrack(read_coco_splits(scratch / "val2018.json", "posetrack17"), scratch / "out");
  for (const auto& path : files) {
    SCOPED_TRACE(path);
    const json before = pose::read_golden(path);
    const json after = pose::read_golden(scratch / "out/val" / path.filename());
    ASSERT_EQ(after["images"], before["images"]);
    ASSERT_EQ(after["annotations"].size(), before["annotations"].size());
    for (size_t i = 0; i < before["annotations"].size(); ++i) {
      // Fields that the conversion adds (area) or writes in COCO's way (iscrowd) aside, all is equal.
      for (const auto& [name, value] : before["annotations"][i].items()) {
        if (name == "iscrowd") continue;
        EXPECT_EQ(after["annotations"][i][name], value) << name;
      }
    }
  }
}

}  // namespace
}  // namespace posefix::dataset::formats
