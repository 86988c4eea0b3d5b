#include "dataset/coco_annotations.h"

#include <fmt/format.h>

#include "base/file.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset {
namespace {

class AnnotationReader {
 public:
  AnnotationReader(JsonCursor& json, const AnnotationReadOptions& options, CocoAnnotations& out)
      : json_(json), options_(options), out_(out) {
    out_.joints = options.joints;
  }

  void read() {
    expect_object();
    bool has_images = false;
    const size_t start = json_.mark().offset;
    json_.object([&](std::string_view key) {
      if (key == "images") {
        has_images = true;
        list("images that cannot be used", [&](size_t index) { read_image(index); });
      } else if (key == "annotations") {
        list("annotations that cannot be used", [&](size_t index) { read_annotation(index); });
      } else if (key == "categories") {
        out_.has_categories = true;
        list("categories that cannot be used", [&](size_t) { read_category(); });
      } else {
        json_.skip();
      }
    });
    json_.finish();
    if (!has_images)
      throw json_.error(start, "field 'images' is missing; a COCO annotation file lists its pictures there");
  }

 private:
  void expect_object() {
    if (json_.peek() == '{') return;
    throw bad_input("{}: /: byte {}: expected an object with 'images' and 'annotations', got {}", json_.file(),
                    json_.mark().offset,
                    json_.peek() == '[' ? "a list; this looks like a results file (P.json)" : "a bare value");
  }

  // Reads a list; with keep_going an element that cannot be used is reported and stepped over.
  template <typename Read>
  void list(const char* kind, Read&& read) {
    json_.array([&](size_t index) {
      const JsonCursor::Mark start = json_.mark();
      try {
        read(index);
      } catch (const Error& error) {
        if (!options_.keep_going || !options_.findings) throw;
        options_.findings({Severity::kError, kind, error.what()});
        json_.go_to(start);
        json_.skip();
      }
    });
  }

  void require(bool seen, size_t start, const char* name) const {
    if (!seen) throw json_.error(start, fmt::format("field '{}' is missing", name));
  }

  int pixels(const char* what) {
    const size_t start = json_.mark().offset;
    const int64_t value = json_.integer();
    if (value < 1 || value > 1 << 20) throw json_.error(start, fmt::format("{} of {} px", what, value));
    return static_cast<int>(value);
  }

  void read_image(size_t) {
    const size_t start = json_.mark().offset;
    AnnotatedImage image;
    bool has_id = false;
    bool has_name = false;
    json_.object([&](std::string_view key) {
      if (key == "id") {
        image.id = json_.integer();
        has_id = true;
      } else if (key == "file_name") {
        image.file_name = json_.string();
        has_name = true;
      } else if (key == "width") {
        image.width = pixels("a width");
      } else if (key == "height") {
        image.height = pixels("a height");
      } else if (key == "license" && (json_.peek() == '-' || (json_.peek() >= '0' && json_.peek() <= '9'))) {
        image.license = static_cast<int>(json_.integer());
      } else {
        json_.skip();
      }
    });
    require(has_id, start, "id");
    require(has_name, start, "file_name");
    out_.image_index[image.id] = out_.images.size();
    out_.images.push_back(std::move(image));
  }

  void read_annotation(size_t index) {
    const size_t start = json_.mark().offset;
    Annotation annotation;
    annotation.index = index;
    unsigned seen = 0;
    json_.object([&](std::string_view key) { seen |= annotation_field(key, annotation); });
    require(seen & kId, start, "id");
    require(seen & kImageId, start, "image_id");
    require(seen & kCategoryId, start, "category_id");
    require(seen & kBbox, start, "bbox");
    require(seen & kKeypoints, start, "keypoints");
    if (options_.require_area) require(seen & kArea, start, "area");
    if ((seen & kArea) == 0) annotation.area = annotation.bbox.w * annotation.bbox.h;
    if ((seen & kNumKeypoints) == 0) {
      for (const pose::Keypoint& joint : annotation.keypoints) annotation.num_keypoints += joint.score > 0;
    }
    out_.annotations.push_back(std::move(annotation));
  }

  enum Field : unsigned {
    kId = 1,
    kImageId = 2,
    kCategoryId = 4,
    kBbox = 8,
    kArea = 16,
    kKeypoints = 32,
    kNumKeypoints = 64
  };

  // Returns the bit of a known field.
  unsigned annotation_field(std::string_view key, Annotation& annotation) {
    if (key == "id") return annotation.id = json_.integer(), kId;
    if (key == "image_id") return annotation.image_id = json_.integer(), kImageId;
    if (key == "category_id") return annotation.category_id = json_.integer(), kCategoryId;
    if (key == "bbox") return annotation.bbox = read_box(), kBbox;
    if (key == "area") return annotation.area = json_.number(), kArea;
    if (key == "keypoints") return read_keypoints(annotation), kKeypoints;
    if (key == "num_keypoints") return annotation.num_keypoints = static_cast<int>(json_.integer()), kNumKeypoints;
    if (key == "bbox_head" && json_.peek() == '[') {
      annotation.head_box = read_box();
    } else if (key == "iscrowd") {
      const char c = json_.peek();
      annotation.iscrowd = c == 't' || c == 'f' ? json_.boolean() : json_.integer() != 0;
    } else {
      json_.skip();
    }
    return 0;
  }

  pose::Box read_box() {
    const size_t start = json_.mark().offset;
    json_.numbers(numbers_);
    if (numbers_.size() != 4) {
      throw json_.error(start, fmt::format("expected 4 numbers (x, y, width, height), got {}", numbers_.size()));
    }
    return {numbers_[0], numbers_[1], numbers_[2], numbers_[3]};
  }

  void read_keypoints(Annotation& annotation) {
    const size_t start = json_.mark().offset;
    json_.numbers(numbers_);
    const size_t count = numbers_.size();
    if (out_.joints == 0 && count > 0 && count % 3 == 0) out_.joints = static_cast<int>(count / 3);
    const auto expected = static_cast<size_t>(out_.joints) * 3;
    if (count != expected || count == 0) {
      throw json_.error(start, fmt::format("expected {} numbers (x, y, v for each of {} joints), got {}", expected,
                                           out_.joints, count));
    }
    annotation.keypoints.resize(count / 3);
    for (size_t j = 0; j < count / 3; ++j) {
      annotation.keypoints[j] = {numbers_[3 * j], numbers_[3 * j + 1], numbers_[3 * j + 2]};
    }
  }

  void read_category() {
    Category category;
    json_.object([&](std::string_view key) {
      if (key == "id") {
        category.id = json_.integer();
      } else if (key == "name") {
        category.name = json_.string();
      } else if (key == "keypoints" && json_.peek() == '[') {
        json_.array([&](size_t) { category.keypoints.push_back(json_.string()); });
      } else {
        json_.skip();
      }
    });
    out_.categories.push_back(std::move(category));
  }

  JsonCursor& json_;
  const AnnotationReadOptions& options_;
  CocoAnnotations& out_;
  std::vector<double> numbers_;
};

}  // namespace

const AnnotatedImage* CocoAnnotations::find_image(int64_t id) const {
  const auto found = image_index.find(id);
  return found == image_index.end() ? nullptr : &images[found->second];
}

CocoAnnotations read_coco_annotations(const std::filesystem::path& path, const AnnotationReadOptions& options) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  CocoAnnotations annotations;
  annotations.path = path.string();
  JsonCursor json(file->text(), annotations.path);
  if (json.had_byte_order_mark() && options.findings) {
    options.findings(
        {Severity::kWarning, "byte order marks",
         fmt::format("{}: byte 0: starts with a UTF-8 byte order mark, which JSON should not have; skipped",
                     annotations.path)});
  }
  AnnotationReader(json, options, annotations).read();
  return annotations;
}

}  // namespace posefix::dataset
