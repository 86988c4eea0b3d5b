// posefix refine MODEL --images DIR --poses P.json --out R.json: better poses for a folder of pictures.
// posefix refine MODEL --image X.jpg --poses P.json --draw out.png: for one picture.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/exif_option.h"
#include "cli/network_file.h"
#include "dataset/pose_results.h"
#include "refine/refiner.h"
#include "refine/selection.h"
#include "report/before_after.h"
#include "runtime/recovering_session.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  fs::path model, images, image, poses, annotations, out, draw;
  std::string nms = "0.9";
  std::string trust;  // "": calibrated if the model carries a calibration
  std::string skeleton;
  std::string on_error = "stop";
  runtime::SessionOptions session;
  std::optional<int64_t> batch;
  int streams = 0;  // 0: chosen
  image::ExifOrientation exif = image::ExifOrientation::kIgnore;
  bool no_flip = false;
  bool rescore = false;
  bool uncertainty = false;
  bool stats = false;
  bool json = false;
};

std::optional<double> nms_threshold(const std::string& text) {
  if (text == "off") return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value > 0 && value <= 1)) {
    throw bad_input("--nms {}: expected an OKS above 0 and up to 1, or off", text);
  }
  return value;
}

// What cannot be read or written is found before the network runs.
void check_files(const Flags& flags) {
  if (!flags.images.empty()) check_folder(flags.images, "--images");
  if (!flags.image.empty()) MappedFile::open(flags.image);
  if (!flags.out.empty()) check_can_write(flags.out);
  if (flags.draw.empty()) return;
  if (!flags.image.empty()) {
    image::check_can_encode(flags.draw);
    check_can_write(flags.draw);
  } else {
    check_folder(fs::exists(flags.draw) ? flags.draw : fs::absolute(flags.draw).parent_path(), "--draw");
  }
}

void check(const Flags& flags) {
  const bool one = !flags.image.empty();
  if (one == !flags.images.empty()) throw bad_input("give --images DIR or --image X.jpg, one of the two");
  if (one && !flags.annotations.empty()) throw bad_input("--annotations goes with --images, not with --image");
  if (flags.out.empty() && flags.draw.empty()) {
    throw bad_input("nothing to write: give --out R.json, --draw {} or both", one ? "out.png" : "DIR");
  }
  if (flags.trust == "raw" && (flags.rescore || flags.uncertainty)) {
    throw bad_input("--{} is of the calibrated poses; leave --trust raw out",
                    flags.rescore ? "rescore" : "uncertainty");
  }
  check_session_options(flags.model, flags.session);
  const bool is_cpu =
      flags.model.extension() != ".om" && (flags.session.backend.empty() || flags.session.backend == "cpu");
  if (flags.streams > 0 && !is_cpu) {
    throw bad_input("--streams {}: goes with the cpu backend alone", flags.streams);
  }
  check_files(flags);
}

pose::Skeleton skeleton_of(const Flags& flags, const runtime::ModelInfo& info) {
  if (!flags.skeleton.empty()) return pose::Skeleton::load(flags.skeleton);
  if (info.skeleton_yaml.empty()) {
    throw bad_input("{}: names no skeleton; give one with --skeleton", flags.model.string());
  }
  return pose::Skeleton::parse(info.skeleton_yaml, flags.model.string() + ": skeleton");
}

// The model's calibration; null when it is not wanted or cannot be had.
std::shared_ptr<const trust::Trust> trust_of(const Flags& flags, const runtime::ModelInfo& info,
                                             const pose::Skeleton& skeleton) {
  if (flags.trust == "raw") return nullptr;
  const bool is_needed = flags.trust == "calibrated" || flags.rescore || flags.uncertainty;
  const char* missing = nullptr;
  if (info.trust.empty()) {
    missing = "carries no calibration; posefix calibrate makes one, --trust raw does without";
  } else if (!info.has_spread) {
    missing = "does not give the spread of its heat maps, which its calibration needs";
  }
  if (missing != nullptr) {
    const char* flag = flags.rescore ? "--rescore" : flags.uncertainty ? "--uncertainty" : "--trust calibrated";
    if (is_needed) throw bad_input("{}: {} {}", flag, flags.model.string(), missing);
    if (!info.trust.empty()) {
      fmt::print(stderr, "refine: {} {}: answers are taken as they are\n", flags.model.string(), missing);
    }
    return nullptr;
  }
  const std::string where = flags.model.string() + ": posefix.trust";
  auto trust = std::make_shared<const trust::Trust>(trust::Trust::parse(info.trust, skeleton, where));
  if (trust->flip == flags.no_flip) {
    fmt::print(stderr, "refine: {} was calibrated {} the flip test\n", flags.model.string(),
               trust->flip ? "with" : "without");
  }
  return trust;
}

refine::Selection select_people(const Flags& flags, const dataset::PoseResults& poses, int joints) {
  if (!flags.image.empty()) return refine::select_for_picture(poses, flags.image);
  if (flags.annotations.empty()) return refine::select(poses, flags.images, nullptr);
  const dataset::CocoAnnotations annotations =
      dataset::read_coco_annotations(flags.annotations, {.joints = joints, .require_area = false});
  refine::Selection selection = refine::select(poses, flags.images, &annotations);
  if (selection.left_out() > 0) {
    fmt::print(
        stderr,
        "refine: {} of {} entries are left out: {} of pictures that {} does not list, {} of other categories, {} "
        "with a score of 0 or less\n",
        selection.left_out(), poses.entries.size(), selection.unlisted, flags.annotations.string(),
        selection.other_category, selection.no_score);
  }
  return selection;
}

// A damaged picture is reported with the entry that needs it.
image::Image decode(const Flags& flags, const dataset::PoseResults& poses, const refine::Selection& selection,
                    size_t picture) {
  try {
    return image::decode(selection.pictures[picture], flags.exif);
  } catch (const Error& error) {
    size_t i = 0;
    while (selection.people[i].picture != picture) ++i;
    throw error.within(fmt::format("{}: entry {}: 'image_id'", poses.path, poses.entries[selection.entries[i]].index));
  }
}

void write_results(const Flags& flags, const dataset::PoseResults& poses, const refine::Selection& selection,
                   const refine::Refined& refined) {
  std::vector<dataset::RefinedPose> results;
  for (size_t i = 0; i < selection.entries.size(); ++i) {
    if (refined.kept[i] == 0) continue;
    dataset::RefinedPose result{selection.entries[i], {}, std::round(selection.people[i].score * 1e4) / 1e4};
    if (flags.rescore) {
      result.score = std::round(refined.expected_oks[i] * 1e6) / 1e6;
      result.adds_score = true;
    }
    if (flags.uncertainty) result.uncertainty.assign(refined.uncertainty(i).begin(), refined.uncertainty(i).end());
    const std::span<const double> coords = refined.coords(i);
    for (size_t j = 0; j < coords.size(); j += 2) result.keypoints.push_back({coords[j], coords[j + 1], 1});
    results.push_back(std::move(result));
  }
  dataset::write_pose_results(flags.out, poses, results);
}

// DIR/val_000000000785_before_after.jpg for the picture val/000000000785.jpg.
fs::path drawing_of(const Flags& flags, const fs::path& picture) {
  std::string name = picture.lexically_relative(flags.images).replace_extension().generic_string();
  std::replace(name.begin(), name.end(), '/', '_');
  return flags.draw / (name + "_before_after.jpg");
}

// By picture: everyone's pose before and after; `after` holds the poses that the pairs point to.
std::vector<std::vector<report::PosePair>> pairs_by_picture(const refine::Selection& selection,
                                                            const refine::Refined& refined,
                                                            std::vector<pose::Keypoints>& after) {
  after.resize(selection.people.size());
  std::vector<std::vector<report::PosePair>> pairs(selection.pictures.size());
  for (size_t i = 0; i < selection.people.size(); ++i) {
    const std::span<const double> coords = refined.coords(i);
    for (size_t j = 0; j < coords.size(); j += 2) after[i].push_back({coords[j], coords[j + 1], 1});
    const refine::Person& person = selection.people[i];
    pairs[person.picture].push_back({person.keypoints, refined.kept[i] != 0 ? &after[i] : nullptr});
  }
  return pairs;
}

void draw(const Flags& flags, const pose::Skeleton& skeleton, const refine::Selection& selection,
          const refine::Refined& refined) {
  std::vector<pose::Keypoints> after;
  const std::vector<std::vector<report::PosePair>> pairs = pairs_by_picture(selection, refined, after);
  const bool one = !flags.image.empty();
  if (!one) fs::create_directory(flags.draw);
  Progress progress("draw", "pictures", static_cast<int64_t>(pairs.size()));
  for (size_t i = 0; i < pairs.size(); ++i) {
    throw_if_interrupted();
    const fs::path& picture = selection.pictures[i];
    const image::Image panel =
        report::before_after(image::decode(picture, flags.exif), skeleton, report::change_of(pairs[i]));
    image::encode(panel, one ? flags.draw : drawing_of(flags, picture));
    progress.update(static_cast<int64_t>(i + 1));
  }
  progress.finish();
}

void print_stats(const Flags& flags, const refine::Refined& refined, const runtime::Session& session) {
  const refine::RefineTimes& t = refined.times;
  const double people_per_second = t.total > 0 ? static_cast<double>(refined.kept.size()) / t.total : 0;
  if (flags.json) {
    fmt::print(
        "{{\"people\": {}, \"people_per_second\": {:.3f}, \"backend\": \"{}\", \"batch\": {}, \"batches\": {}, "
        "\"seconds\": {{\"total\": {:.4f}, \"inference\": {:.4f}, \"waiting_for_crops\": {:.4f}, \"merge\": {:.4f}, "
        "\"other\": {:.4f}, \"network_idle\": {:.4f}, \"decode\": {:.4f}, \"crop\": {:.4f}}}}}\n",
        refined.kept.size(), people_per_second, session.info().backend, session.max_batch(), t.batches, t.total,
        t.inference, t.waiting, t.merge, t.other(), t.starved, t.decode, t.crop);
    return;
  }
  const auto row = [&](const char* name, double seconds, const char* note) {
    fmt::print("{:<22} {:>9.3f} s {:>6.1f} %  {}\n", name, seconds, t.total > 0 ? 100 * seconds / t.total : 0, note);
  };
  row("total", t.total, "of which");
  row("  inference", t.inference, "batches handed over, answers awaited");
  row("  waiting for crops", t.waiting, "");
  row("  merge and NMS", t.merge, "");
  row("  other", t.other(), "");
  row("of waiting: idle", t.starved, "the network had nothing to do");
  row("beside: decode", t.decode, "summed over threads, overlaps the rest");
  row("beside: crop", t.crop, "summed over threads, overlaps the rest");
  fmt::print("{} people, {:.2f} people/s, {} batches of up to {} crops on {}\n", refined.kept.size(), people_per_second,
             t.batches, session.max_batch(), session.info().backend);
}

// What the CPU opens for the same network. An .om holds no weights that can be read: compile leaves M.pb or M.onnx
// beside it.
fs::path stand_in_file(const Flags& flags) {
  if (flags.model.extension() != ".om") return flags.model;
  for (const char* extension : {".pb", ".onnx"}) {
    fs::path file = flags.model;
    if (fs::exists(file.replace_extension(extension))) return file;
  }
  throw bad_input("--on-error cpu: {} needs the .pb or .onnx file that it was compiled from beside it",
                  flags.model.string());
}

std::unique_ptr<runtime::Session> open_on_cpu(const Flags& flags, const fs::path& file, int64_t max_batch) {
  runtime::SessionOptions options = flags.session;
  options.backend = "cpu";
  options.device.clear();
  options.precision.clear();
  options.device_graphs = false;
  options.max_batch = max_batch;
  return open_network(file, options);
}

int cores(const Flags& flags) { return flags.session.threads > 0 ? flags.session.threads : available_cores(); }

// More batches a second for many pictures, the least time for one.
int streams_for(const Flags& flags) {
  constexpr int kMost = 4;  // each has its own feature maps
  if (flags.streams > 0) return flags.streams;
  return flags.image.empty() ? std::min(cores(flags), kMost) : 1;
}

std::unique_ptr<runtime::Session> open(const Flags& flags) {
  constexpr int kRetries = 3;
  if (flags.on_error == "stop") return open_network(flags.model, flags.session);
  runtime::RecoveryOptions recovery;
  recovery.log = [](const std::string& line) { fmt::print(stderr, "\nrefine: {}\n", line); };
  if (flags.on_error == "retry") {
    recovery.retries = kRetries;
  } else {
    recovery.stand_in = [&flags, file = stand_in_file(flags)](int64_t max_batch) {
      return open_on_cpu(flags, file, max_batch);
    };
  }
  return std::make_unique<runtime::RecoveringSession>([&flags] { return open_network(flags.model, flags.session); },
                                                      recovery);
}

void run(const Flags& flags) {
  check(flags);
  refine::RefineOptions options;
  options.flip = !flags.no_flip;
  options.nms_threshold = nms_threshold(flags.nms);
  options.decode_threads = std::min(cores(flags), 4);

  const std::unique_ptr<runtime::Session> session = open(flags);
  if (flags.batch) check_batch(flags.model, *session, *flags.batch);
  const pose::Skeleton skeleton = skeleton_of(flags, session->info());
  options.trust = trust_of(flags, session->info(), skeleton);
  refine::Refiner refiner(*session, skeleton, options);
  const int joints = refiner.skeleton().size();
  const dataset::PoseResults poses = dataset::read_pose_results(flags.poses, {.joints = joints});
  const refine::Selection selection = select_people(flags, poses, joints);

  Progress progress("refine", "people", static_cast<int64_t>(selection.people.size()));
  const refine::Refined refined = refiner.run([&](size_t picture) { return decode(flags, poses, selection, picture); },
                                              selection.people, [&](int64_t people) { progress.update(people); });
  progress.finish();
  if (!flags.out.empty()) write_results(flags, poses, selection, refined);
  if (!flags.draw.empty()) draw(flags, refiner.skeleton(), selection, refined);

  const auto kept = static_cast<size_t>(std::count(refined.kept.begin(), refined.kept.end(), 1));
  fmt::print(stderr, "refine: people {}, pictures {}, duplicates removed {}\n", refined.kept.size(),
             selection.pictures.size(), refined.kept.size() - kept);
  if (flags.stats || flags.json) print_stats(flags, refined, *session);
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("MODEL", flags->model,
                 "offline model (.plan, .om), or snapshot (.safetensors), .pb or .onnx, which are compiled in memory")
      ->required();
  app.add_option("--images", flags->images, "folder of pictures");
  app.add_option("--image", flags->image, "one picture instead of a folder");
  app.add_option("--poses", flags->poses, "input poses, COCO keypoint results")->required();
  app.add_option("--annotations", flags->annotations,
                 "COCO annotations: file names of the pictures, and which entries are refined");
  app.add_option("--out", flags->out, "refined poses, in the order and with all fields of the input");
  app.add_option("--draw", flags->draw, "folder for before/after pictures (with --image: the file)");
  app.add_option("--batch", flags->batch,
                 "crops a run; with the flip test a person takes two. An .om has its own: leave it out")
      ->default_str(fmt::to_string(flags->session.max_batch));
  app.add_option("--threads", flags->session.threads, "0: all cores")->capture_default_str();
  app.add_option(
         "--streams", flags->streams,
         "batches side by side, each on its part of the threads (cpu); default: up to 4 for a folder, 1 for one "
         "picture")
      ->check(CLI::PositiveNumber);
  app.add_flag("--no-flip", flags->no_flip, "leave out the flip test: twice as fast, less exact");
  app.add_option("--nms", flags->nms, "OKS above which the weaker of two poses is removed, or off")
      ->capture_default_str();
  app.add_option("--trust", flags->trust,
                 "calibrated: joints follow the answer as far as its calibration says; raw: all the way; default: "
                 "calibrated if the model carries a calibration")
      ->check(CLI::IsMember({"calibrated", "raw"}));
  app.add_flag("--rescore", flags->rescore, "a new score for every pose: the OKS to be expected");
  app.add_flag("--uncertainty", flags->uncertainty, "write the mean error to be expected of every joint, in px");
  app.add_option("--skeleton", flags->skeleton, "name or YAML file; default: the model's own");
  app.add_option("--backend", flags->session.backend,
                 "cpu, reference, torch or ascend; default: what the model is for");
  app.add_option("--device", flags->session.device, "of the torch backend: cpu, cuda or npu; of an .om: npu:N");
  app.add_option("--precision", flags->session.precision,
                 "that the torch backend computes in: f32 (default), bf16 or f16; a plan has its own");
  app.add_flag("--device-graphs", flags->session.device_graphs,
               "the torch backend records a whole batch on a GPU and launches it with one call");
  app.add_option(
         "--on-error", flags->on_error,
         "when the device fails: stop, retry (open the model again, up to 3 times a batch) or cpu (go on there)")
      ->capture_default_str()
      ->check(CLI::IsMember({"stop", "retry", "cpu"}));
  add_exif_option(app, flags->exif);
  app.add_flag("--stats", flags->stats, "print where the time went");
  app.add_flag("--json", flags->json, "the same as JSON");
  return [flags] {
    flags->session.max_batch = flags->batch.value_or(flags->session.max_batch);
    flags->session.streams = streams_for(*flags);
    run(*flags);
  };
}

const CommandRegistration registration{"refine", "better poses for pictures and the poses found in them", &setup};

}  // namespace
}  // namespace posefix::cli
