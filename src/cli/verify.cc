#include "cli/verify.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/people.h"
#include "compiler/int8/trial.h"
#include "image/image.h"
#include "refine/refiner.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

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
  app.add_option("--max-drop", flags.max_drop,
                 "AP that may be lost, of 1 (default 0.005); int8 without annotations: px that joints may move by on "
                 "average (default 0.5)");
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
  const People people = flags.poses.empty()
                            ? drawn_people("--verify", flags.pictures, flags.people, skeleton)
                            : given_people(flags.pictures, flags.poses, flags.annotations, flags.people, skeleton);
  refine::RefineOptions options;
  options.flip = people.annotations.has_value();
  const auto run = [&](runtime::Session& session) {
    return refine::Refiner(session, skeleton, options)
        .run([&](size_t picture) { return image::decode(people.selection.pictures[picture]); },
             people.selection.people);
  };
  const refine::Refined found = run(model);
  const refine::Refined expected = run(reference);
  const compiler::Difference apart = compiler::difference(found.first_crop_px, expected.first_crop_px);
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
  const double max_drop = flags.max_drop.value_or(kMaxApDrop);
  if (reference_ap - ap > max_drop) {
    throw failed("--max-drop {}: AP falls by {:.4f}; a higher --precision keeps more", max_drop, reference_ap - ap);
  }
}

}  // namespace posefix::cli
