// MATLAB .mat files (versions 4, 5, 7 and 7.3, through matio): numeric arrays and nested structs, read whole.
//
// A MatNode borrows from its MatFile. Arrays are column-major: [3,14,N] has the first dimension fastest. Fields that
// are absent and fields that are empty look the same, as MPII's file mixes both. Non-goals: sparse, complex, objects.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct matvar_t;

namespace posefix::dataset::formats {

class MatNode {
 public:
  MatNode() = default;
  MatNode(matvar_t* variable, std::string place) : variable_(variable), place_(std::move(place)) {}

  // Nothing there, or an array without elements.
  bool empty() const;
  const std::string& place() const { return place_; }  // "file.mat: RELEASE.annolist[3].image"
  std::vector<size_t> shape() const;
  size_t count() const;  // elements of an array, entries of a struct array

  // Field of entry `index` of a struct array; an empty node if there is no such field. Error (bad input) if this is no
  // struct.
  MatNode field(const char* name, size_t index = 0) const;

  // All elements as doubles, column-major. Error (bad input) if this is no array of numbers.
  std::vector<double> numbers() const;
  // The first element; also of a text that holds a number ('1'). nullopt if empty.
  std::optional<double> number() const;
  // Characters. Error (bad input) if this is no text.
  std::string text() const;

 private:
  matvar_t* variable_ = nullptr;
  std::string place_;
};

class MatFile {
 public:
  // Error (bad input) if the file does not exist or is no .mat file; for version 5 also if it is cut off
  // or damaged.
  explicit MatFile(const std::filesystem::path& path);
  ~MatFile();
  MatFile(const MatFile&) = delete;
  MatFile& operator=(const MatFile&) = delete;

  // Error (bad input) names the variables that the file has instead.
  MatNode variable(const char* name);

 private:
  std::string path_;
  void* file_;
  std::vector<matvar_t*> variables_;
};

// Writes one array of doubles, column-major, as version 5. Atomic.
void write_mat_array(const std::filesystem::path& path, const char* name, std::span<const size_t> shape,
                     std::span<const double> values);

}  // namespace posefix::dataset::formats
