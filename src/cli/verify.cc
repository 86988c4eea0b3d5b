#include "cli/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "evaluate/coco_keypoints.h"
#include "image/image.h"
#include "refine/refiner.h"
#include "refine/selection.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

// Who is refined; owns what refine::Person borrows.
struct People {
  dataset::PoseResults poses;
  std::vector<pose::Keypoints> drawn;
  refine::Selection selection;
  std::optional<dataset::CocoAnnotations> annotations;
};

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> pictures;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string extension = entry.path().extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (std::set<std::string>{".jpg", ".jpeg", ".png"}.contains(extension)) pictures.push_back(entry.path());
  }
  std::sort(pictures.begin(), pictures.end());
  if (pictures.empty()) throw bad_input("--verify {}: the folder holds no .jpg or .png pictures", folder.string());
  return pictures;
}

// One person a picture: its box is the picture, its joints lie anywhere in it. The same at every call.
People drawn_people(const VerifyFlags& flags, const pose::Skeleton& skeleton) {
  People people;
  people.selection.pictures = pictures_in(flags.pictures);
  people.selection.pictures.resize(std::min(people.selection.pictures.size(), flags.people));
  people.drawn.resize(people.selection.pictures.size());
  for (size_t i = 0; i < people.drawn.size(); ++i) {
    const image::ImageHeader header = image::read_header(people.selection.pictures[i]);
    Rng rng(0, 0, i);
    for (int j = 0; j < skeleton.size(); ++j) {
      people.drawn[i].push_back({rng.uniform(0, header.width), rng.uniform(0, header.height), 1});
    }
    refine::Person person;
    person.picture = i;
    person.keypoints = &people.drawn[i];
    person.box = pose::Box{0, 0, static_cast<double>(header.width), static_cast<double>(header.height)};
    person.score = 1;
    people.selection.people.push_back(person);
  }
  return people;
}

People given_people(const VerifyFlags& flags, const pose::Skeleton& skeleton) {
  People people;
  people.poses = dataset::read_pose_results(flags.poses, {.joints = skeleton.size()});
  if (!flags.annotations.empty()) {
    people.annotations =
        dataset::read_coco_annotations(flags.annotations, {.joints = skeleton.size(), .require_area = false});
  }
  people.selection = refine::select(people.poses, flags.pictures, people.annotations ? &*people.annotations : nullptr);
  // A part of the people says little about AP: the pictures' other people would count as missed.
  if (!people.annotations && people.selection.people.size() > flags.people) {
    people.selection.people.resize(flags.people);
    people.selection.entries.resize(flags.people);
  }
  return people;
}

double average_precision(const People& people, const refine::Refined& refined, const pose::Skeleton& skeleton) {
  std::vector<dataset::PoseResult> results;
  for (size_t i = 0; i < people.selection.entries.size(); ++i) {
    if (refined.kept[i] == 0) continue;
    dataset::PoseResult result = people.poses.entries[people.selection.entries[i]];
    result.bbox.reset();
    const std::span<const double> coords = refined.coords(i);
    for (size_t j = 0; j < result.keypoints.size(); ++j) result.keypoints[j] = {coords[2 * j], coords[2 * j + 1], 1};
    results.push_back(std::move(result));
  }
  ThreadPool pool;
  const evaluate::Detections detections = evaluate::detections_of(results, skeleton.size());
  return evaluate::figures(evaluate::match(*people.annotations, detections, skeleton.sigmas, pool)).figures.ap;
}

struct Difference {
  double worst_px = 0;
  double mean_px = 0;
};

// Distances between two answers, [.,2] crop px. An answer that is no number is infinitely far away.
Difference difference(std::span<const float> a, std::span<const float> b) {
  Difference result;
  for (size_t i = 0; i < a.size(); i += 2) {
    double distance = std::hypot(static_cast<double>(a[i]) - b[i], static_cast<double>(a[i + 1]) - b[i + 1]);
    if (!std::isfinite(distance)) distance = std::numeric_limits<double>::infinity();
    result.worst_px = std::max(result.worst_px, distance);
    result.mean_px += distance;
  }
  const size_t joints = a.size() / 2;
  if (joints > 0) result.mean_px /= static_cast<double>(joints);
  return result;
}

}  // namespace

void add_verify_flags(CLI::App& app, VerifyFlags& flags) {
  app.add_option("--verify", flags.pictures,
                 "folder of pictures: compare the new model with the f32 reference on them");
  app.add_option("--verify-poses", flags.poses, "their input poses, COCO keypoint results; default: drawn ones");
  app.add_option("--verify-annotations", flags.annotations, "COCO annotations: compare AP as well");
  app.add_option("--verify-device", flags.device, "device of the new model, as for refine");
  app.add_option("--verify-people", flags.people, "how many people at most (all of them when AP is compared)")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--max-difference", flags.max_difference_px, "crop px that a joint may differ by; default: no limit");
  app.add_option("--max-drop", flags.max_drop, "AP that may be lost, of 1")->capture_default_str();
}

void check_verify_flags(const VerifyFlags& flags) {
  if (!flags.annotations.empty() && flags.poses.empty()) {
    throw bad_input("--verify-annotations needs --verify-poses: AP is that of poses that an estimator found");
  }
  if (flags.pictures.empty() && !flags.poses.empty()) throw bad_input("--verify-poses needs --verify DIR");
  if (!flags.pictures.empty() && !fs::is_directory(flags.pictures)) {
    throw bad_input("--verify {}: not a folder", flags.pictures.string());
  }
}

void verify(runtime::Session& model, runtime::Session& reference, const pose::Skeleton& skeleton,
            const VerifyFlags& flags) {
  const People people = flags.poses.empty() ? drawn_people(flags, skeleton) : given_people(flags, skeleton);
  refine::RefineOptions options;
  options.flip = people.annotations.has_value();
  const auto run = [&](runtime::Session& session) {
    return refine::Refiner(session, skeleton, options)
        .run([&](size_t picture) { return image::decode(people.selection.pictures[picture]); },
             people.selection.people);
  };
  const refine::Refined found = run(model);
  const refine::Refined expected = run(reference);
  const Difference apart = difference(found.first_crop_px, expected.first_crop_px);
  fmt::print("verify: {} people, worst difference {:.3g} px, mean {:.3g} px (crop px, beside f32)\n",
             people.selection.people.size(), apart.worst_px, apart.mean_px);
  if (flags.max_difference_px >= 0 && !(apart.worst_px <= flags.max_difference_px)) {
    throw failed("--max-difference {}: a joint differs by {:.3g} px; a higher --precision keeps more",
                 flags.max_difference_px, apart.worst_px);
  }
  if (!people.annotations) return;
  const double ap = average_precision(people, found, skeleton);
  const double reference_ap = average_precision(people, expected, skeleton);
  fmt::print("verify: AP {:.4f}, of the f32 reference {:.4f}, drop {:.4f}\n", ap, reference_ap, reference_ap - ap);
  if (reference_ap - ap > flags.max_drop) {
    throw failed("--max-drop {}: AP falls by {:.4f}; a higher --precision keeps more", flags.max_drop,
                 reference_ap - ap);
  }
}

}  // namespace posefix::cli
