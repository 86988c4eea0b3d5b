// Comma-separated values: RFC 4180, quoted fields, LF or CRLF, a UTF-8 byte order mark stepped over.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace posefix::dataset::formats {

struct CsvTable {
  std::string path;
  std::vector<std::vector<std::string>> rows;  // blank lines left out
  std::vector<size_t> lines;                   // line number of each row, from 1

  // "file.csv: line 3" and, with a column (from 0), ", column 2".
  std::string place(size_t row) const;
  std::string place(size_t row, size_t column) const;
  // nullopt if the field is missing, empty or NaN. Error (bad input) names the place if it is no number.
  std::optional<double> number(size_t row, size_t column) const;
};

// `text` as a field: quoted where it must be.
std::string csv_field(const std::string& text);

// Error (bad input) if a quote is not closed.
CsvTable read_csv(const std::filesystem::path& path);

}  // namespace posefix::dataset::formats
