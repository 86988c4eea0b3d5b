#include "dataset/mat_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <matio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

namespace posefix::dataset {
namespace {

TEST(MatFile, ReadsArraysOfAnyNumberType) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("posefix_mat_" + std::to_string(::getpid()) + ".mat");
  mat_t* mat = Mat_CreateVer(path.c_str(), nullptr, MAT_FT_MAT5);
  ASSERT_NE(mat, nullptr);
  double values[] = {1, 2, 3, 4, 5, 6, 7, 8};
  size_t shape[] = {2, 2, 2};
  uint8_t bytes[] = {1, 0};
  size_t flat[] = {1, 2};
  matvar_t* joints = Mat_VarCreate("joints", MAT_C_DOUBLE, MAT_T_DOUBLE, 3, shape, values, 0);
  matvar_t* missing = Mat_VarCreate("missing", MAT_C_UINT8, MAT_T_UINT8, 2, flat, bytes, 0);
  Mat_VarWrite(mat, joints, MAT_COMPRESSION_NONE);
  Mat_VarWrite(mat, missing, MAT_COMPRESSION_ZLIB);
  Mat_VarFree(joints);
  Mat_VarFree(missing);
  Mat_Close(mat);

  const MatArray array = read_mat_array(path, "joints");
  EXPECT_EQ(array.shape, (std::vector<size_t>{2, 2, 2}));
  EXPECT_EQ(array.at(1, 0, 0), 2);
  EXPECT_EQ(array.at(0, 1, 1), 7);
  EXPECT_EQ(read_mat_array(path, "missing").at(0, 0), 1);
  try {
    read_mat_array(path, "joint");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("no variable 'joint'; it holds: joints, missing"));
  }
  write_file_atomically(path, "not a matrix");
  EXPECT_THROW(read_mat_array(path, "joints"), Error);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace posefix::dataset
