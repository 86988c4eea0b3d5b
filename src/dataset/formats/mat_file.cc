#include "dataset/formats/mat_file.h"

#include <fmt/format.h>
#include <matio.h>

#include <array>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "dataset/formats/mat_integrity.h"

namespace posefix::dataset::formats {
namespace {

template <typename T>
void copy_as_doubles(const matvar_t& variable, size_t count, std::vector<double>& out) {
  const T* values = static_cast<const T*>(variable.data);
  out.assign(values, values + count);
}

size_t elements(const matvar_t& variable) {
  size_t count = 1;
  for (int d = 0; d < variable.rank; ++d) count *= variable.dims[d];
  return variable.rank == 0 ? 0 : count;
}

}  // namespace

bool MatNode::empty() const { return variable_ == nullptr || variable_->data == nullptr || elements(*variable_) == 0; }

size_t MatNode::count() const { return empty() ? 0 : elements(*variable_); }

std::vector<size_t> MatNode::shape() const {
  if (variable_ == nullptr) return {};
  return {variable_->dims, variable_->dims + variable_->rank};
}

MatNode MatNode::field(const char* name, size_t index) const {
  std::string place = count() > 1 ? fmt::format("{}[{}].{}", place_, index, name) : fmt::format("{}.{}", place_, name);
  if (empty()) return {nullptr, std::move(place)};
  if (variable_->class_type != MAT_C_STRUCT) throw bad_input("{}: expected a struct with the field '{}'", place_, name);
  if (index >= count()) return {nullptr, std::move(place)};
  return {Mat_VarGetStructFieldByName(variable_, name, index), std::move(place)};
}

std::vector<double> MatNode::numbers() const {
  std::vector<double> out;
  if (empty()) return out;
  const size_t n = count();
  if (variable_->isComplex != 0) throw bad_input("{}: expected real numbers, found complex ones", place_);
  switch (variable_->class_type) {
    case MAT_C_DOUBLE:
      copy_as_doubles<double>(*variable_, n, out);
      break;
    case MAT_C_SINGLE:
      copy_as_doubles<float>(*variable_, n, out);
      break;
    case MAT_C_INT8:
      copy_as_doubles<int8_t>(*variable_, n, out);
      break;
    case MAT_C_UINT8:
      copy_as_doubles<uint8_t>(*variable_, n, out);
      break;
    case MAT_C_INT16:
      copy_as_doubles<int16_t>(*variable_, n, out);
      break;
    case MAT_C_UINT16:
      copy_as_doubles<uint16_t>(*variable_, n, out);
      break;
    case MAT_C_INT32:
      copy_as_doubles<int32_t>(*variable_, n, out);
      break;
    case MAT_C_UINT32:
      copy_as_doubles<uint32_t>(*variable_, n, out);
      break;
    case MAT_C_INT64:
      copy_as_doubles<int64_t>(*variable_, n, out);
      break;
    case MAT_C_UINT64:
      copy_as_doubles<uint64_t>(*variable_, n, out);
      break;
    default:
      throw bad_input("{}: expected an array of numbers", place_);
  }
  return out;
}

std::optional<double> MatNode::number() const {
  if (empty()) return std::nullopt;
  if (variable_->class_type != MAT_C_CHAR) return numbers().front();
  const std::string digits = text();
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end == digits.c_str() || *end != '\0')
    throw bad_input("{}: expected a number, found the text '{}'", place_, digits);
  return value;
}

std::string MatNode::text() const {
  if (variable_ == nullptr || variable_->class_type != MAT_C_CHAR) throw bad_input("{}: expected a text", place_);
  std::string out;
  const size_t n = count();
  for (size_t i = 0; i < n; ++i) {
    if (variable_->data_type == MAT_T_UINT16 || variable_->data_type == MAT_T_UTF16) {
      const uint16_t c = static_cast<const uint16_t*>(variable_->data)[i];
      if (c > 0x7e) throw bad_input("{}: only ASCII names are read", place_);
      out += static_cast<char>(c);
    } else {
      out += static_cast<const char*>(variable_->data)[i];
    }
  }
  return out;
}

MatFile::MatFile(const std::filesystem::path& path) : path_(path.string()) {
  check_mat_integrity(MappedFile::open(path)->bytes(), path_);
  file_ = Mat_Open(path_.c_str(), MAT_ACC_RDONLY);
  if (file_ == nullptr) throw bad_input("{}: byte 0: is no MATLAB .mat file", path_);
}

MatFile::~MatFile() {
  for (matvar_t* variable : variables_) Mat_VarFree(variable);
  Mat_Close(static_cast<mat_t*>(file_));
}

MatNode MatFile::variable(const char* name) {
  matvar_t* variable = Mat_VarRead(static_cast<mat_t*>(file_), name);
  if (variable == nullptr) {
    size_t count = 0;
    char** names = Mat_GetDir(static_cast<mat_t*>(file_), &count);
    std::string found;
    for (size_t i = 0; i < count; ++i) {
      if (names[i] != nullptr) found += fmt::format("{}'{}'", found.empty() ? "" : ", ", names[i]);
    }
    throw bad_input("{}: variable '{}' is missing or cannot be read; the file has {}", path_, name,
                    found.empty() ? "none (is it a .mat file?)" : found);
  }
  variables_.push_back(variable);
  return {variable, fmt::format("{}: {}", path_, name)};
}

void write_mat_array(const std::filesystem::path& path, const char* name, std::span<const size_t> shape,
                     std::span<const double> values) {
  // matio writes to a path of its own; the bytes then take the way of every output.
  std::filesystem::path temporary = path;
  temporary += ".writing";
  // A header of our own: matio's holds the time, and equal inputs must give equal bytes.
  mat_t* file = Mat_CreateVer(temporary.c_str(), "MATLAB 5.0 MAT-file, written by posefix", MAT_FT_MAT5);
  if (file == nullptr) throw failed("{}: cannot be written", temporary.string());
  matvar_t* variable =
      Mat_VarCreate(name, MAT_C_DOUBLE, MAT_T_DOUBLE, static_cast<int>(shape.size()), const_cast<size_t*>(shape.data()),
                    const_cast<double*>(values.data()), MAT_F_DONT_COPY_DATA);
  const bool written = variable != nullptr && Mat_VarWrite(file, variable, MAT_COMPRESSION_NONE) == 0;
  Mat_VarFree(variable);
  const bool closed = Mat_Close(file) == 0;
  std::error_code error;
  if (!written || !closed) {
    std::filesystem::remove(temporary, error);
    throw failed("{}: writing failed", path.string());
  }
  const std::string bytes = read_file(temporary);
  std::filesystem::remove(temporary, error);
  write_file_atomically(path, bytes);
}

}  // namespace posefix::dataset::formats
