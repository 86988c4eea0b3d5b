#include "dataset/posetrack_sequence.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/file.h"
#include "dataset/json_cursor.h"

namespace posefix::dataset {
namespace {

class SequenceReader {
 public:
  SequenceReader(JsonCursor& json, PosetrackSequence& out) : json_(json), out_(out) {}

  void read() {
    const size_t start = json_.mark().offset;
    bool has_images = false;
    json_.object([&](std::string_view key) {
      if (key == "images") {
        has_images = true;
        json_.array([&](size_t) { read_frame(); });
      } else if (key == "annotations") {
        json_.array([&](size_t index) { read_person(index); });
      } else if (key == "categories") {
        json_.array([&](size_t) { read_category(); });
      } else {
        json_.skip();
      }
    });
    json_.finish();
    if (!has_images) throw json_.error(start, "field 'images' is missing");
    if (out_.joints.empty()) throw json_.error(start, "'categories' names no keypoints");
    place_people();
  }

 private:
  struct Placed {
    int64_t image_id;
    TrackedPerson person;
  };

  void read_frame() {
    const size_t start = json_.mark().offset;
    TrackedFrame frame;
    bool has_id = false;
    std::vector<std::vector<double>> x, y;
    json_.object([&](std::string_view key) {
      if (key == "id") {
        frame.image_id = json_.integer();
        has_id = true;
      } else if (key == "file_name") {
        frame.file_name = json_.string();
      } else if (key == "ignore_regions_x") {
        x = read_polygons();
      } else if (key == "ignore_regions_y") {
        y = read_polygons();
      } else {
        json_.skip();
      }
    });
    if (!has_id) throw json_.error(start, "field 'id' is missing");
    if (x.size() != y.size()) throw json_.error(start, "ignore_regions_x and ignore_regions_y differ in length");
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i].size() != y[i].size())
        throw json_.error(start, fmt::format("ignore region {}: {} x for {} y", i, x[i].size(), y[i].size()));
      frame.ignore_regions.push_back({std::move(x[i]), std::move(y[i])});
    }
    out_.frames.push_back(std::move(frame));
  }

  // A list of lists; some files hold a single polygon as a plain list.
  std::vector<std::vector<double>> read_polygons() {
    std::vector<std::vector<double>> polygons;
    std::vector<double> flat;
    json_.array([&](size_t) {
      if (json_.peek() == '[') {
        polygons.emplace_back();
        json_.numbers(polygons.back());
      } else {
        flat.push_back(json_.number());
      }
    });
    if (!flat.empty()) polygons.push_back(std::move(flat));
    return polygons;
  }

  void read_person(size_t index) {
    const size_t start = json_.mark().offset;
    Placed placed{0, {}};
    placed.person.index = index;
    bool has_image = false;
    json_.object([&](std::string_view key) {
      if (key == "image_id") {
        placed.image_id = json_.integer();
        has_image = true;
      } else if (key == "track_id") {
        placed.person.track_id = json_.integer();
      } else if (key == "keypoints") {
        json_.numbers(numbers_);
        if (numbers_.size() % 3 != 0)
          throw json_.error(start, fmt::format("{} keypoint numbers, no multiple of three", numbers_.size()));
        for (size_t j = 0; j + 2 < numbers_.size(); j += 3) {
          placed.person.keypoints.push_back({numbers_[j], numbers_[j + 1], numbers_[j + 2]});
        }
      } else if (key == "scores") {
        json_.numbers(placed.person.scores);
      } else if (key == "bbox_head" && json_.peek() == '[') {
        json_.numbers(numbers_);
        if (numbers_.size() == 4) placed.person.head = {numbers_[0], numbers_[1], numbers_[2], numbers_[3]};
      } else {
        json_.skip();
      }
    });
    if (!has_image) throw json_.error(start, "field 'image_id' is missing");
    people_.push_back(std::move(placed));
  }

  void read_category() {
    json_.object([&](std::string_view key) {
      if (key == "keypoints" && out_.joints.empty()) {
        json_.array([&](size_t) { out_.joints.push_back(json_.string()); });
      } else {
        json_.skip();
      }
    });
  }

  void place_people() {
    std::unordered_map<int64_t, size_t> frame_of;
    for (size_t i = 0; i < out_.frames.size(); ++i) frame_of[out_.frames[i].image_id] = i;
    for (Placed& placed : people_) {
      const std::string place = fmt::format("{}: /annotations/{}", out_.path, placed.person.index);
      const auto frame = frame_of.find(placed.image_id);
      if (frame == frame_of.end()) throw bad_input("{}/image_id: no image has the id {}", place, placed.image_id);
      TrackedPerson& person = placed.person;
      if (person.keypoints.size() != out_.joints.size()) {
        throw bad_input("{}/keypoints: {} joints, but the category names {}", place, person.keypoints.size(),
                        out_.joints.size());
      }
      if (!person.scores.empty() && person.scores.size() != out_.joints.size()) {
        throw bad_input("{}/scores: {} scores for {} joints", place, person.scores.size(), out_.joints.size());
      }
      std::vector<TrackedPerson>& people = out_.frames[frame->second].people;
      for (const TrackedPerson& other : people) {
        if (other.track_id != person.track_id) continue;
        throw bad_input(
            "{}/track_id: track {} occurs twice in image {} (also /annotations/{}); PoseTrack needs them unique", place,
            person.track_id, placed.image_id, other.index);
      }
      people.push_back(std::move(person));
    }
  }

  JsonCursor& json_;
  PosetrackSequence& out_;
  std::vector<Placed> people_;
  std::vector<double> numbers_;
};

}  // namespace

PosetrackSequence read_posetrack_sequence(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  PosetrackSequence sequence;
  sequence.path = path.string();
  JsonCursor json(file->text(), sequence.path);
  if (json.peek() != '{') throw json.unexpected("a PoseTrack sequence, an object with 'images' and 'annotations'");
  SequenceReader(json, sequence).read();
  return sequence;
}

}  // namespace posefix::dataset
