// Numeric arrays of MATLAB files (.mat, versions 4 to 7.3), as MPII and LSP use them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace posefix::dataset {

// Column-major: the first index is the fastest.
struct MatArray {
  std::vector<size_t> shape;
  std::vector<double> values;

  double at(size_t i, size_t j, size_t k = 0) const { return values.at(i + shape[0] * (j + shape[1] * k)); }
};

// Error (bad input) names the file, the variable and, if it is not there, those that are.
MatArray read_mat_array(const std::filesystem::path& path, const std::string& variable);

}  // namespace posefix::dataset
