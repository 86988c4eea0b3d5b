#include "cli/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/people.h"
#include "cli/verify.h"
#include "refine/crop_feed.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

constexpr double kMaxDropPx = 0.5;

// One picture in so many is held out.
constexpr size_t kHeldOutEvery = 3;

// The indices' people with their pictures; others are left out, of the annotations too.
People some_of(const People& all, const std::vector<size_t>& indices) {
  People some;
  some.poses = all.poses;
  some.selection.pictures = all.selection.pictures;
  std::set<int64_t> images;
  for (const size_t i : indices) {
    some.selection.people.push_back(all.selection.people[i]);
    if (all.selection.entries.empty()) continue;
    some.selection.entries.push_back(all.selection.entries[i]);
    images.insert(all.poses.entries[all.selection.entries[i]].image_id);
  }
  if (!all.annotations) return some;
  some.annotations = all.annotations;
  std::erase_if(some.annotations->annotations,
                [&](const dataset::Annotation& annotation) { return !images.contains(annotation.image_id); });
  return some;
}

struct Split {
  People calibration;  // spread over the pictures
  People held_out;     // whole pictures
  bool is_same = false;
};

Split split(const People& all, const CalibrationFlags& flags) {
  const std::vector<refine::Person>& people = all.selection.people;
  std::vector<size_t> seen;
  std::vector<size_t> unseen;
  for (size_t i = 0; i < people.size(); ++i) {
    (people[i].picture % kHeldOutEvery == kHeldOutEvery - 1 ? unseen : seen).push_back(i);
  }
  const bool is_same = unseen.empty();
  if (is_same) unseen = seen;
  // Spread over what there is, by picture and in order.
  const auto thin_out = [&](std::vector<size_t>& indices, size_t at_most) {
    std::stable_sort(indices.begin(), indices.end(),
                     [&](size_t a, size_t b) { return people[a].picture < people[b].picture; });
    std::vector<size_t> kept;
    const size_t count = std::min(at_most, indices.size());
    for (size_t i = 0; i < count; ++i) kept.push_back(indices[i * indices.size() / count]);
    indices = std::move(kept);
  };
  thin_out(seen, flags.people);
  if (all.annotations) {  // AP counts everyone in a picture
    std::vector<size_t> sampled = unseen;
    thin_out(sampled, flags.held_out);
    std::set<size_t> pictures;
    for (const size_t i : sampled) pictures.insert(people[i].picture);
    std::erase_if(unseen, [&](size_t i) { return !pictures.contains(people[i].picture); });
  } else {
    thin_out(unseen, flags.held_out);
  }
  return {some_of(all, seen), some_of(all, unseen), is_same};
}

compiler::Persons crops_of(const People& people, const pose::Skeleton& skeleton, image::CropSize size) {
  constexpr int64_t kRows = 8;
  const auto count = static_cast<int64_t>(people.selection.people.size());
  const auto joints = static_cast<size_t>(skeleton.size());
  std::vector<pose::Box> boxes(people.selection.people.size());
  std::vector<float> poses(boxes.size() * joints * 2);
  refine::FeedOptions options;
  options.size = size;
  options.batch_rows = kRows;
  options.flip = false;
  std::vector<refine::Person> by_picture = people.selection.people;
  std::stable_sort(by_picture.begin(), by_picture.end(),
                   [](const refine::Person& a, const refine::Person& b) { return a.picture < b.picture; });
  refine::CropFeed feed(
      options, skeleton, [&](size_t picture) { return image::decode(people.selection.pictures[picture]); }, by_picture,
      boxes, poses);
  compiler::Persons persons;
  persons.size = count;
  for (int64_t first = 0; first < count; first += kRows) {
    const runtime::CropBatch batch = feed.next(std::min(kRows, count - first));
    persons.crops.insert(persons.crops.end(), batch.crops.begin(), batch.crops.end());
    persons.pose.insert(persons.pose.end(), batch.pose.begin(), batch.pose.end());
    persons.valid.insert(persons.valid.end(), batch.valid.begin(), batch.valid.end());
    feed.release();
  }
  return persons;
}

People people_of(const CalibrationFlags& flags, const pose::Skeleton& skeleton) {
  if (flags.pictures.empty()) {
    throw bad_input(
        "--precision int8 needs --calibration DIR: pictures of people as the model will see them, with --poses P.json "
        "or --annotations A.json for who is in them");
  }
  if (!fs::is_directory(flags.pictures)) {
    throw bad_input("--calibration {}: not a folder", flags.pictures.string());
  }
  constexpr size_t kAll = std::numeric_limits<size_t>::max();
  if (!flags.poses.empty()) return given_people(flags.pictures, flags.poses, flags.annotations, kAll, skeleton);
  if (!flags.annotations.empty()) return annotated_people(flags.pictures, flags.annotations, skeleton);
  return drawn_people("--calibration", flags.pictures, flags.people + flags.held_out, skeleton);
}

void say_what_is_used(const CalibrationFlags& flags, const Split& people) {
  const std::string source = !flags.poses.empty()         ? "poses of " + flags.poses.string()
                             : !flags.annotations.empty() ? "synthesised poses of " + flags.annotations.string()
                                                          : "whole pictures with drawn joints; --poses or "
                                                            "--annotations give real people";
  fmt::print(stderr, "int8: calibrated on {} crops ({}), checked on {} {}\n",
             people.calibration.selection.people.size(), source, people.held_out.selection.people.size(),
             people.is_same ? "of the same picture: more pictures say more" : "of other pictures");
}

double average_precision_of(runtime::Session& session, const People& people, const pose::Skeleton& skeleton) {
  refine::RefineOptions options;
  options.flip = false;
  const refine::Refined refined =
      refine::Refiner(session, skeleton, options)
          .run([&](size_t picture) { return image::decode(people.selection.pictures[picture]); },
               people.selection.people);
  return average_precision(people, refined, skeleton);
}

nlohmann::ordered_json to_json(const compiler::Int8Report& report, const Split& people, bool by_ap, double max_drop) {
  auto layers = nlohmann::ordered_json::array();
  for (const compiler::QuantisedLayer& layer : report.layers) {
    nlohmann::ordered_json entry{{"name", layer.name},
                                 {"precision", layer.in_f32 ? "f32" : "int8"},
                                 {"range", layer.range},
                                 {"relative_error", layer.error}};
    if (layer.sensitivity_px >= 0) entry["sensitivity_px"] = layer.sensitivity_px;
    layers.push_back(std::move(entry));
  }
  return {{"precision", "int8"},
          {"calibration_crops", people.calibration.selection.people.size()},
          {"held_out_crops", people.held_out.selection.people.size()},
          {"mean_px", report.mean_px},
          {"worst_px", report.worst_px},
          {"drop", report.drop},
          {"drop_unit", by_ap ? "AP" : "px"},
          {"max_drop", max_drop},
          {"layers", std::move(layers)}};
}

void print_table(const compiler::Int8Report& report, bool by_ap, double max_drop) {
  fmt::print("{:>9}  {:<5} {:<12} {:>14}  {}\n", "error", "in", "range", "sensitivity px", "convolution");
  for (const compiler::QuantisedLayer& layer : report.layers) {
    const std::string sensitivity = layer.sensitivity_px < 0 ? "" : fmt::format("{:.4f}", layer.sensitivity_px);
    fmt::print("{:8.3f}%  {:<5} {:<12} {:>14}  {}\n", 100 * layer.error, layer.in_f32 ? "f32" : "int8", layer.range,
               sensitivity, layer.name);
  }
  const auto in_f32 = std::count_if(report.layers.begin(), report.layers.end(),
                                    [](const compiler::QuantisedLayer& layer) { return layer.in_f32; });
  fmt::print("int8: {} of {} convolutions in int8; beside f32 on held-out crops: mean {:.3f} px, worst {:.3f} px",
             report.layers.size() - static_cast<size_t>(in_f32), report.layers.size(), report.mean_px, report.worst_px);
  if (by_ap) fmt::print("; AP lost {:.4f}", report.drop);
  fmt::print(" (--max-drop {} {})\n", max_drop, by_ap ? "AP" : "px");
}

}  // namespace

void add_calibration_flags(CLI::App& app, CalibrationFlags& flags) {
  app.add_option("--calibration", flags.pictures, "int8: folder of pictures to calibrate on and to check with");
  app.add_option("--poses", flags.poses, "int8: their input poses, COCO keypoint results");
  app.add_option("--annotations", flags.annotations,
                 "int8: COCO annotations; with --poses the loss is measured in AP, alone poses are synthesised");
  app.add_option("--calibration-people", flags.people, "int8: how many people at most")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--held-out-people", flags.held_out, "int8: how many other people it is checked with")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", flags.json, "int8, --tune: the report as JSON");
}

void check_calibration_flags(const CalibrationFlags& flags, const std::string& precision, bool tunes) {
  if (precision == "int8") return;
  const bool is_given = !flags.pictures.empty() || !flags.poses.empty() || !flags.annotations.empty();
  if (is_given) throw bad_input("--calibration, --poses and --annotations go with --precision int8");
  if (flags.json && !tunes) throw bad_input("--json goes with --precision int8 or --tune: there is no report without");
}

std::shared_ptr<const plan::Plan> compile_int8(const NetworkFile& network, const pose::Skeleton& skeleton,
                                               compiler::CompileOptions options, const CalibrationFlags& flags,
                                               const std::optional<double>& max_drop) {
  const People all = people_of(flags, skeleton);
  const Split people = split(all, flags);
  say_what_is_used(flags, people);
  const Shape& image = network.graph.node(network.graph.find("image")).type.shape;
  const image::CropSize size{static_cast<int>(image.at(1)), static_cast<int>(image.at(2))};
  const compiler::ModelTexts texts{network.config_yaml, network.skeleton_yaml, network.trust};
  const bool by_ap = !flags.poses.empty() && !flags.annotations.empty();

  compiler::Int8Request request;
  request.calibration = crops_of(people.calibration, skeleton, size);
  request.held_out = crops_of(people.held_out, skeleton, size);
  request.max_drop = max_drop.value_or(by_ap ? kMaxApDrop : kMaxDropPx);
  request.on_progress = [](const std::string& line) { fmt::print(stderr, "int8: {}\n", line); };
  double f32_ap = 0;
  if (by_ap) {
    compiler::CompileOptions f32;
    f32.target = options.target;
    f32_ap =
        average_precision_of(*runtime::open_session(compiler::compile(network.graph, network.weights, texts, f32), {}),
                             people.held_out, skeleton);
    request.drop = [&](runtime::Session& session) {
      return f32_ap - average_precision_of(session, people.held_out, skeleton);
    };
  }
  compiler::Int8Report report;
  options.int8 = &request;
  options.int8_report = &report;
  auto plan = compiler::compile(network.graph, network.weights, texts, options);
  if (flags.json) {
    print_json(to_json(report, people, by_ap, request.max_drop));
  } else {
    print_table(report, by_ap, request.max_drop);
  }
  return plan;
}

}  // namespace posefix::cli
