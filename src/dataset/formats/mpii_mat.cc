#include "dataset/formats/mpii_mat.h"

#include <fmt/format.h>

#include <cmath>

#include "dataset/formats/json_text.h"
#include "dataset/formats/mat_file.h"

namespace posefix::dataset::formats {
namespace {

constexpr int kJoints = 16;

double required(const MatNode& node) {
  const std::optional<double> value = node.number();
  if (!value || !std::isfinite(*value)) throw bad_input("{}: expected a finite number, found nothing", node.place());
  return *value;
}

pose::Keypoints read_points(const MatNode& points) {
  pose::Keypoints keypoints(kJoints);
  for (size_t p = 0; p < points.count(); ++p) {
    const double id = required(points.field("id", p));
    if (!(id >= 0 && id < kJoints) || id != std::floor(id)) {
      throw bad_input("{}: joint id {} is not one of 0..{}", points.field("id", p).place(), id, kJoints - 1);
    }
    // Points without the flag (neck and head top of the first annotators) are labelled like the others.
    const double visible = points.field("is_visible", p).number().value_or(1);
    keypoints[static_cast<size_t>(id)] = {required(points.field("x", p)), required(points.field("y", p)),
                                          visible != 0 ? 2.0 : 1.0};
  }
  return keypoints;
}

void add_number(ExtraFields& fields, const char* name, const std::optional<double>& value) {
  if (value && std::isfinite(*value)) fields.push_back({name, json_number(*value)});
}

ExtraFields person_fields(const MatNode& people, size_t p) {
  ExtraFields fields;
  double corners[4];
  bool has_head = true;
  const char* const names[] = {"x1", "y1", "x2", "y2"};
  for (int c = 0; c < 4; ++c) {
    const std::optional<double> value = people.field(names[c], p).number();
    has_head = has_head && value && std::isfinite(*value);
    if (has_head) corners[c] = *value;
  }
  if (has_head) {
    fields.push_back(
        {"bbox_head", json_box({corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]})});
  }
  const MatNode position = people.field("objpos", p);
  if (!position.empty()) {
    const std::optional<double> x = position.field("x").number();
    const std::optional<double> y = position.field("y").number();
    if (x && y && std::isfinite(*x) && std::isfinite(*y)) {
      fields.push_back({"center", fmt::format("[{},{}]", json_number(*x), json_number(*y))});
    }
  }
  add_number(fields, "scale", people.field("scale", p).number());
  return fields;
}

class MatReader {
 public:
  MatReader(const MatNode& release, const DatasetSource& source) : source_(source) {
    pictures_ = release.field("annolist");
    training_ = release.field("img_train").numbers();
    if (pictures_.empty()) throw bad_input("{}: is empty; expected one entry per picture", pictures_.place());
    if (training_.size() != pictures_.count()) {
      throw bad_input("{}: {} entries, but annolist has {}", release.field("img_train").place(), training_.size(),
                      pictures_.count());
    }
    result_.splits = {{"train", {"mpii16", {}, {}, {}}}, {"test", {"mpii16", {}, {}, {}}}};
    folder_ = image_folder(source);
    prefix_ = picture_prefix(source, pictures_.field("image", 0).field("name").text());
  }

  Conversion read() {
    for (size_t i = 0; i < pictures_.count(); ++i) read_picture(i);
    note(unlabelled_, "people without joints were left out");
    note(degenerate_, "people whose joints span 1 px or less were left out");
    if (!folder_.empty()) note(missing_, "pictures were not found; their width and height are left out");
    return std::move(result_);
  }

 private:
  void note(size_t count, const char* what) {
    if (count > 0) result_.notes.push_back(fmt::format("{} {}", count, what));
  }

  void read_picture(size_t i) {
    const MatNode people = pictures_.field("annorect", i);
    if (people.empty()) return;
    const bool train = training_[i] != 0;
    AnnotationSet& set = result_.splits[train ? 0 : 1].set;
    AnnotatedImage image;
    image.id = static_cast<int64_t>(i);
    const std::string name = pictures_.field("image", i).field("name").text();
    image.file_name = name;
    missing_ += measure(image, folder_, source_.picture_size) ? 0 : 1;
    image.file_name = prefix_ + name;
    set.add_image(std::move(image));
    if (!train) return;
    for (size_t p = 0; p < people.count(); ++p) read_person(people, p, static_cast<int64_t>(i), set);
  }

  void read_person(const MatNode& people, size_t p, int64_t image_id, AnnotationSet& set) {
    const MatNode annotated = people.field("annopoints", p);
    const MatNode points = annotated.empty() ? MatNode() : annotated.field("point");
    if (points.empty()) {
      ++unlabelled_;
      return;
    }
    Annotation person;
    person.keypoints = read_points(points);
    person.bbox = mpii_box(person.keypoints);
    if (person.bbox.w <= 0 || person.bbox.h <= 0) {
      ++degenerate_;
      return;
    }
    person.id = static_cast<int64_t>(set.coco.annotations.size()) + 1;
    person.image_id = image_id;
    person.category_id = 1;
    person.area = person.bbox.w * person.bbox.h;
    person.num_keypoints = labelled_joints(person.keypoints);
    set.add_annotation(std::move(person), person_fields(people, p));
  }

  const DatasetSource& source_;
  MatNode pictures_;
  std::vector<double> training_;
  std::filesystem::path folder_;
  std::string prefix_;
  Conversion result_;
  size_t unlabelled_ = 0;
  size_t degenerate_ = 0;
  size_t missing_ = 0;
};

}  // namespace

pose::Box mpii_box(const pose::Keypoints& keypoints) {
  const pose::Box extent = extent_of_labelled(keypoints);
  const double width = extent.w - 1;
  const double height = extent.h - 1;
  if (width <= 0 || height <= 0) return {};
  const double middle_x = (extent.x + (extent.x + extent.w)) / 2;
  const double middle_y = (extent.y + (extent.y + extent.h)) / 2;
  return {middle_x - width / 2 * 1.2, middle_y - height / 2 * 1.2, width * 1.2, height * 1.2};
}

Conversion read_mpii_mat(const std::filesystem::path& file, const DatasetSource& source) {
  MatFile mat(file);
  return MatReader(mat.variable("RELEASE"), source).read();
}

}  // namespace posefix::dataset::formats
