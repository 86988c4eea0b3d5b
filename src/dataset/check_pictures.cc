#include "dataset/check_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/interrupt.h"
#include "dataset/picture_locator.h"

namespace posefix::dataset {
namespace {

std::string format_of_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".jpg" || extension == ".jpeg") return "JPEG";
  return extension == ".png" ? "PNG" : "";
}

// Findings of one picture, kept apart so that the report does not depend on which thread was first.
struct PictureOutcome {
  std::vector<Finding> findings;
  bool missing = false;
  bool unreadable = false;
  bool exif_rotated = false;
};

PictureOutcome check_picture(const AnnotatedImage& image, const PictureLocator& locator, const std::string& annotations,
                             size_t index, const PictureProbe& probe, bool deep) {
  PictureOutcome outcome;
  const auto add = [&](Severity severity, const char* kind, std::string message) {
    outcome.findings.push_back({severity, kind, std::move(message)});
  };
  std::optional<std::filesystem::path> path;
  try {
    path = locator.find_if_there(image.id);
    outcome.missing = !path;
  } catch (const Error& error) {
    add(Severity::kError, "pictures that are missing",
        fmt::format("{} ({}: /images/{}/file_name)", error.what(), annotations, index));
  }
  if (!path) {
    outcome.unreadable = true;
    return outcome;
  }
  PictureFacts facts;
  try {
    facts = probe(*path, deep);
  } catch (const Error& error) {
    outcome.unreadable = true;
    add(Severity::kError, "pictures that cannot be read", error.what());
    return outcome;
  }
  outcome.exif_rotated = facts.exif_orientation != 1;
  if (facts.damage) add(Severity::kWarning, "damaged pictures", *facts.damage);
  const std::string by_name = format_of_name(*path);
  if (!by_name.empty() && by_name != facts.format) {
    add(Severity::kWarning, "pictures with another ending",
        fmt::format("{}: byte 0: the content is {}, the name says {}", path->string(), facts.format, by_name));
  }
  if (image.width > 0 && (facts.width != image.width || facts.height != image.height)) {
    const bool fits_turned = facts.exif_orientation >= 5 && facts.width == image.height && facts.height == image.width;
    add(Severity::kWarning, "pictures of another size",
        fmt::format("{}: {} x {}, but {}: /images/{} says {} x {}; {}", path->string(), facts.width, facts.height,
                    annotations, index, image.width, image.height,
                    fits_turned ? "the size fits if the EXIF orientation is read the other way (--exif apply|ignore)"
                                : "the joints would not fit"));
  }
  return outcome;
}

// What lies in the folder instead is looked up for the messages that are shown, not for thousands.
void report_missing(const CocoAnnotations& annotations, const std::vector<PictureOutcome>& outcomes,
                    const PictureLocator& locator, CheckReport& report) {
  size_t reported = 0;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (!outcomes[i].missing) continue;
    std::string message;
    if (reported++ < CheckReport::kShown) {
      try {
        (void)locator.find(annotations.images[i].id);
      } catch (const Error& error) {
        message = error.what();
      }
    }
    report.error("pictures that are missing",
                 fmt::format("{} ({}: /images/{}/file_name)", message, annotations.path, i));
  }
}

}  // namespace

void check_pictures(const CocoAnnotations& annotations, const std::filesystem::path& folder, const PictureProbe& probe,
                    bool deep, ThreadPool& pool, CheckReport& report) {
  constexpr size_t kExamples = 5;
  const PictureLocator locator(folder, &annotations);
  std::vector<PictureOutcome> outcomes(annotations.images.size());
  pool.parallel_for(static_cast<int64_t>(outcomes.size()), 8, [&](int64_t begin, int64_t end) {
    throw_if_interrupted();
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      outcomes[i] = check_picture(annotations.images[i], locator, annotations.path, i, probe, deep);
    }
  });
  report_missing(annotations, outcomes, locator, report);
  PictureSummary summary;
  summary.folder = folder.string();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    summary.pictures += !outcomes[i].unreadable;
    summary.unreadable += outcomes[i].unreadable;
    summary.exif_rotated_count += outcomes[i].exif_rotated;
    if (outcomes[i].exif_rotated && summary.exif_rotated.size() < kExamples) {
      summary.exif_rotated.push_back(annotations.images[i].file_name);
    }
    for (Finding& finding : outcomes[i].findings) report.add(std::move(finding));
  }
  report.pictures.push_back(std::move(summary));
}

}  // namespace posefix::dataset
