#include "dataset/pose_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dataset/json_cursor.h"
#include "dataset/pose_entry.h"

namespace posefix::dataset {
namespace {

PoseResult result_of(const PoseEntry& entry, size_t index) {
  PoseResult result;
  result.image_id = entry.image_id;
  result.category_id = entry.category_id;
  result.keypoints.resize(entry.keypoints.size() / 3);
  for (size_t j = 0; j < result.keypoints.size(); ++j) {
    result.keypoints[j] = {entry.keypoints[3 * j], entry.keypoints[3 * j + 1], entry.keypoints[3 * j + 2]};
  }
  result.score = entry.score;
  result.scores = entry.scores;
  if (!entry.bbox.empty()) result.bbox = {entry.bbox[0], entry.bbox[1], entry.bbox[2], entry.bbox[3]};
  result.file_name = entry.file_name;
  result.index = index;
  result.raw = entry.raw;
  result.raw_keypoints = entry.raw_keypoints;
  result.raw_score = entry.raw_score;
  result.raw_uncertainty = entry.raw_uncertainty;
  return result;
}

// Warnings about one entry that do not need the annotations.
void report_oddities(const JsonCursor& json, const PoseEntry& entry, const FindingSink& findings) {
  if (!findings) return;
  const size_t at = static_cast<size_t>(entry.raw.data() - json.text().data());
  if (entry.image_id_was_float) {
    findings({Severity::kWarning, "image ids written as decimal numbers",
              fmt::format("{}: {}/image_id: byte {}: the id {}.0 is a decimal number; read as {}", json.file(),
                          json.pointer(), at, entry.image_id, entry.image_id)});
  }
  if (!entry.has_score) {
    findings({Severity::kWarning, kScoresOnly,
              fmt::format("{}: {}: byte {}: 'scores' but no 'score' (MPII's and PoseTrack's way); their mean {:.4f} is "
                          "taken",
                          json.file(), json.pointer(), at, entry.score)});
  }
}

// A pose's numbers as they are written: coordinates in image_px with 3 decimals, at most.
void append_number(std::string& out, double value) {
  const double rounded = std::round(value * 1000) / 1000;
  fmt::format_to(std::back_inserter(out), "{}", rounded == 0 ? 0.0 : rounded);
}

void append_keypoints(std::string& out, const pose::Keypoints& keypoints) {
  out += '[';
  for (size_t j = 0; j < keypoints.size(); ++j) {
    if (j > 0) out += ',';
    append_number(out, keypoints[j].x);
    out += ',';
    append_number(out, keypoints[j].y);
    out += ',';
    append_number(out, keypoints[j].score);
  }
  out += ']';
}

void append_numbers(std::string& out, std::span<const double> values) {
  out += '[';
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    append_number(out, values[i]);
  }
  out += ']';
}

// The entry's text with the new values in the places of the old ones, whichever comes first; fields that it lacks at
// its end.
void append_refined(std::string& out, const PoseResult& entry, const RefinedPose& pose) {
  struct Piece {
    std::string_view old_text;
    std::string new_text;
  };
  std::vector<Piece> pieces;
  std::string added;
  pieces.push_back({entry.raw_keypoints, ""});
  append_keypoints(pieces.back().new_text, pose.keypoints);
  if (pose.score && !entry.raw_score.empty()) {
    pieces.push_back({entry.raw_score, fmt::format("{}", *pose.score)});
  } else if (pose.score && pose.adds_score) {
    added += fmt::format(",\"score\":{}", *pose.score);
  }
  if (!pose.uncertainty.empty()) {
    std::string numbers;
    append_numbers(numbers, pose.uncertainty);
    if (entry.raw_uncertainty.empty()) {
      added += ",\"uncertainty\":" + numbers;
    } else {
      pieces.push_back({entry.raw_uncertainty, numbers});
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.old_text.data() < b.old_text.data(); });
  const char* from = entry.raw.data();
  for (const Piece& piece : pieces) {
    out.append(from, piece.old_text.data());
    out += piece.new_text;
    from = piece.old_text.data() + piece.old_text.size();
  }
  out.append(from, entry.raw.data() + entry.raw.size() - 1);
  out += added + "}";
}

// The list of a results file, streamed in pieces into an atomic file.
class ResultsWriter {
 public:
  explicit ResultsWriter(const std::filesystem::path& path) : file_(path) {}

  std::string& next() {
    if (text_.size() > kPiece) flush();
    text_ += first_ ? "[" : ",\n";
    first_ = false;
    return text_;
  }

  void commit() {
    text_ += first_ ? "[]\n" : "]\n";
    flush();
    file_.commit();
  }

 private:
  static constexpr size_t kPiece = size_t{1} << 20;
  void flush() {
    file_.write(text_);
    text_.clear();
  }

  AtomicFile file_;
  std::string text_;
  bool first_ = true;
};

void append_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

PoseResults read_pose_results(const std::filesystem::path& path, const PoseReadOptions& options) {
  PoseResults results;
  results.path = path.string();
  results.file = MappedFile::open(path);
  JsonCursor json(results.file->text(), results.path);
  if (json.had_byte_order_mark() && options.findings) {
    options.findings(
        {Severity::kWarning, "byte order marks",
         fmt::format("{}: byte 0: starts with a UTF-8 byte order mark, which JSON should not have; skipped",
                     results.path)});
  }
  expect_pose_list(json);
  int joints = options.joints;
  PoseEntry entry;
  json.array([&](size_t index) {
    const JsonCursor::Mark start = json.mark();
    try {
      read_pose_entry(json, &joints, options.require_bbox, entry);
    } catch (const Error& error) {
      if (!options.keep_going || !options.findings) throw;
      options.findings({Severity::kError, "entries that cannot be used", error.what()});
      json.go_to(start);
      json.skip();
      return;
    }
    report_oddities(json, entry, options.findings);
    results.entries.push_back(result_of(entry, index));
  });
  json.finish();
  return results;
}

void write_pose_results(const std::filesystem::path& path, const PoseResults& input,
                        std::span<const RefinedPose> refined) {
  ResultsWriter writer(path);
  for (const RefinedPose& pose : refined) append_refined(writer.next(), input.entries.at(pose.entry), pose);
  writer.commit();
}

void write_pose_results(const std::filesystem::path& path, std::span<const PoseResult> results) {
  ResultsWriter writer(path);
  for (const PoseResult& result : results) {
    std::string& out = writer.next();
    fmt::format_to(std::back_inserter(out), "{{\"image_id\":{},\"category_id\":{},", result.image_id,
                   result.category_id);
    if (result.file_name) {
      out += "\"file_name\":";
      append_string(out, *result.file_name);
      out += ',';
    }
    out += "\"keypoints\":";
    append_keypoints(out, result.keypoints);
    fmt::format_to(std::back_inserter(out), ",\"score\":{}", result.score);
    if (result.bbox) {
      fmt::format_to(std::back_inserter(out), ",\"bbox\":[{},{},{},{}]", result.bbox->x, result.bbox->y, result.bbox->w,
                     result.bbox->h);
    }
    out += '}';
  }
  writer.commit();
}

}  // namespace posefix::dataset
