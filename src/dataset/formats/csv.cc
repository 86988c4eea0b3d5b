#include "dataset/formats/csv.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/file.h"

namespace posefix::dataset::formats {
namespace {

class Parser {
 public:
  explicit Parser(CsvTable& table) : table_(table) {}

  void parse(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (quoted_) {
        if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
          field_ += text[++i];
        } else if (c == '"') {
          quoted_ = false;
        } else {
          field_ += c;
          line_ += c == '\n' ? 1 : 0;
        }
      } else if (c == '"' && field_.empty()) {
        quoted_ = true;
        quote_line_ = line_;
      } else if (c == ',') {
        end_field();
      } else if (c == '\n') {
        end_row();
      } else if (c != '\r') {
        field_ += c;
      }
    }
    if (quoted_) throw bad_input("{}: line {}: a quote is not closed", table_.path, quote_line_);
    end_row();
  }

 private:
  void end_field() {
    row_.push_back(std::move(field_));
    field_.clear();
  }
  void end_row() {
    end_field();
    if (row_.size() > 1 || !row_[0].empty()) {
      table_.rows.push_back(std::move(row_));
      table_.lines.push_back(row_line_);
    }
    row_.clear();
    row_line_ = ++line_;
  }

  CsvTable& table_;
  std::vector<std::string> row_;
  std::string field_;
  bool quoted_ = false;
  size_t line_ = 1, row_line_ = 1, quote_line_ = 1;
};

}  // namespace

std::string CsvTable::place(size_t row) const { return fmt::format("{}: line {}", path, lines[row]); }

std::string CsvTable::place(size_t row, size_t column) const {
  return fmt::format("{}: line {}, column {}", path, lines[row], column + 1);
}

std::optional<double> CsvTable::number(size_t row, size_t column) const {
  if (column >= rows[row].size()) return std::nullopt;
  std::string_view text = rows[row][column];
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::isinf(value)) {
    throw bad_input("{}: expected a number, got '{}'", place(row, column), rows[row][column]);
  }
  if (std::isnan(value)) return std::nullopt;
  return value;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

CsvTable read_csv(const std::filesystem::path& path) {
  CsvTable table;
  table.path = path.string();
  Parser(table).parse(read_file(path));
  return table;
}

}  // namespace posefix::dataset::formats
