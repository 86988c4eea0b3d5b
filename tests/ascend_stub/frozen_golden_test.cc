// The frozen golden network of the Ascend operator list, run by the Ascend backend on the stub's own interpreter: the
// program's reader, compiler and kernels have no part in it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "base/testing/temporary_folder.h"
#include "model_files.h"
#include "runtime/session.h"
#include "tensorfile/safetensors.h"

namespace ascend_stub {
namespace {

TEST(AscendFrozenGolden, RestrictedGraphGivesTheReferenceAnswer) {
  ::setenv("POSEFIX_ACL_LIBRARY_DIR", ASCEND_STUB_DIR "/lib", 1);
  const char* root = std::getenv("POSEFIX_GOLDENS");
  const std::filesystem::path goldens =
      std::filesystem::path(root != nullptr ? root : posefix::project_folder() / "tests/golden") / "frozen";
  const auto expected = posefix::tensorfile::read_safetensors(goldens / "expected.safetensors");
  const posefix::Tensor& image = expected.tensors.at("image_u8");
  const posefix::Tensor& coords = expected.tensors.at("coord_crop_px");
  int cases = 0;
  for (const auto& file : std::filesystem::directory_iterator(goldens)) {
    if (!file.path().string().ends_with("_restricted.pb")) continue;
    SCOPED_TRACE(file.path());
    ++cases;
    const posefix::TemporaryFolder folder;
    const int64_t batch = image.shape()[0];
    const int64_t joints = coords.shape()[1];
    const auto om =
        write_around(folder.path(), posefix::read_file(file.path()), batch, image.shape()[1], image.shape()[2], joints);
    const auto session = posefix::runtime::open_session(om, {});
    std::vector<float> answer(static_cast<size_t>(batch * joints * 2));
    session->run({batch, image.as<uint8_t>(), expected.tensors.at("pose").f32(), expected.tensors.at("valid").f32()},
                 {answer, {}});
    for (size_t i = 0; i < answer.size(); ++i) EXPECT_NEAR(answer[i], coords.f32()[i], 2e-3F);  // 5e-4 heat-map px
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace ascend_stub
