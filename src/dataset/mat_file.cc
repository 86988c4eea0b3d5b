#include "dataset/mat_file.h"

#include <fmt/ranges.h>
#include <matio.h>

#include <memory>

#include "base/error.h"
#include "base/file.h"

namespace posefix::dataset {
namespace {

struct MatCloser {
  void operator()(mat_t* mat) const { Mat_Close(mat); }
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};

template <typename T>
void append(const matvar_t& variable, size_t count, std::vector<double>& out) {
  const T* data = static_cast<const T*>(variable.data);
  out.assign(data, data + count);
}

bool convert(const matvar_t& variable, size_t count, std::vector<double>& out) {
  switch (variable.data_type) {
    case MAT_T_DOUBLE:
      return append<double>(variable, count, out), true;
    case MAT_T_SINGLE:
      return append<float>(variable, count, out), true;
    case MAT_T_INT8:
      return append<int8_t>(variable, count, out), true;
    case MAT_T_UINT8:
      return append<uint8_t>(variable, count, out), true;
    case MAT_T_INT16:
      return append<int16_t>(variable, count, out), true;
    case MAT_T_UINT16:
      return append<uint16_t>(variable, count, out), true;
    case MAT_T_INT32:
      return append<int32_t>(variable, count, out), true;
    case MAT_T_UINT32:
      return append<uint32_t>(variable, count, out), true;
    case MAT_T_INT64:
      return append<int64_t>(variable, count, out), true;
    case MAT_T_UINT64:
      return append<uint64_t>(variable, count, out), true;
    default:
      return false;
  }
}

std::vector<std::string> variable_names(mat_t* mat) {
  size_t count = 0;
  char** names = Mat_GetDir(mat, &count);
  return {names, names + (names == nullptr ? 0 : count)};
}

}  // namespace

MatArray read_mat_array(const std::filesystem::path& path, const std::string& variable_name) {
  (void)MappedFile::open(path);  // a missing file is told with its neighbours
  const std::unique_ptr<mat_t, MatCloser> mat(Mat_Open(path.c_str(), MAT_ACC_RDONLY));
  if (mat == nullptr) throw bad_input("{}: not a MATLAB file", path.string());
  const std::unique_ptr<matvar_t, MatCloser> variable(Mat_VarRead(mat.get(), variable_name.c_str()));
  if (variable == nullptr) {
    throw bad_input("{}: no variable '{}'; it holds: {}", path.string(), variable_name,
                    fmt::join(variable_names(mat.get()), ", "));
  }
  MatArray array;
  size_t count = 1;
  for (int i = 0; i < variable->rank; ++i) {
    array.shape.push_back(variable->dims[i]);
    count *= variable->dims[i];
  }
  if (variable->isComplex || variable->data == nullptr || variable->nbytes != count * Mat_SizeOf(variable->data_type) ||
      !convert(*variable, count, array.values)) {
    throw bad_input("{}: variable '{}' is not an array of real numbers", path.string(), variable_name);
  }
  return array;
}

}  // namespace posefix::dataset
