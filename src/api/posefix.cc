// The C API over runtime/ and refine/.
#include "posefix/posefix.h"

#include <cmath>
#include <memory>
#include <new>
#include <string>

#include "base/error.h"
#include "refine/refiner.h"
#include "runtime/session.h"

struct posefix_session {
  std::unique_ptr<posefix::runtime::Session> session;
  std::shared_ptr<const posefix::trust::Trust> calibration;  // null: the model carries none that can be used
  bool is_calibrated = false;
};

namespace {

using posefix::bad_input;
using posefix::Error;

std::string& last_error() {
  static thread_local std::string message;
  return message;
}

// Runs `body`; whatever it throws becomes a status and a message.
template <typename Body>
posefix_status guarded(const Body& body) {
  last_error().clear();
  try {
    body();
    return POSEFIX_OK;
  } catch (const Error& error) {
    last_error() = error.what();
    return static_cast<posefix_status>(error.exit_code());
  } catch (const std::bad_alloc&) {
    last_error() = "out of memory";
  } catch (const std::exception& error) {
    last_error() = error.what();
  }
  return POSEFIX_FAILED;
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) throw bad_input("{} is NULL", name);
}

// [N,K,3] -> the poses that refine/ takes. Error names the number that is not finite.
std::vector<posefix::pose::Keypoints> keypoints_of(const double* keypoints, int64_t persons, int64_t joints) {
  std::vector<posefix::pose::Keypoints> all(static_cast<size_t>(persons));
  for (int64_t i = 0; i < persons * joints; ++i) {
    const double* at = keypoints + i * 3;
    if (!std::isfinite(at[0]) || !std::isfinite(at[1]) || !std::isfinite(at[2])) {
      throw bad_input("keypoints: person {}, joint {}: a number is not finite", i / joints, i % joints);
    }
    all[static_cast<size_t>(i / joints)].push_back({at[0], at[1], at[2]});
  }
  return all;
}

posefix::pose::Box box_of(const double* boxes, size_t person) {
  const double* at = boxes + person * 4;
  for (int side = 0; side < 4; ++side) {
    if (!std::isfinite(at[side])) throw bad_input("boxes: person {}: a number is not finite", person);
  }
  if (at[2] <= 0 || at[3] <= 0) throw bad_input("boxes: person {}: width and height must be positive", person);
  return {at[0], at[1], at[2], at[3]};
}

std::shared_ptr<const posefix::trust::Trust> calibration_of(const posefix::runtime::ModelInfo& info) {
  if (info.trust.empty() || !info.has_spread) return nullptr;
  const auto skeleton = posefix::pose::Skeleton::parse(info.skeleton_yaml, "the model's skeleton");
  return std::make_shared<const posefix::trust::Trust>(
      posefix::trust::Trust::parse(info.trust, skeleton, "the model's calibration"));
}

void refine(posefix_session& opened, const uint8_t* bgr, int32_t width, int32_t height, int32_t persons,
            const double* keypoints, const double* boxes, bool flip_test, double* refined) {
  posefix::runtime::Session& session = *opened.session;
  if (width < 1 || height < 1 || persons < 0) throw bad_input("a picture of {}x{}, {} persons", width, height, persons);
  if (persons == 0) return;
  require(bgr, "bgr");
  require(keypoints, "keypoints");
  require(refined, "refined");
  const auto poses = keypoints_of(keypoints, persons, session.info().joints);
  std::vector<posefix::refine::Person> people(poses.size());
  for (size_t i = 0; i < people.size(); ++i) {
    people[i].keypoints = &poses[i];
    if (boxes != nullptr) people[i].box = box_of(boxes, i);
  }
  const size_t bytes = static_cast<size_t>(width) * static_cast<size_t>(height) * 3;
  const auto picture = [&](size_t) {
    return posefix::image::Image{width, height, std::vector<uint8_t>(bgr, bgr + bytes)};
  };
  posefix::refine::RefineOptions options;
  options.flip = flip_test;
  options.nms_threshold.reset();
  options.decode_threads = 1;
  if (opened.is_calibrated) options.trust = opened.calibration;
  posefix::refine::Refiner refiner(
      session, posefix::pose::Skeleton::parse(session.info().skeleton_yaml, "the model's skeleton"), options);
  const posefix::refine::Refined result = refiner.run(picture, people);
  for (size_t i = 0; i < result.coords_image_px.size(); ++i) refined[i] = result.coords_image_px[i];
}

}  // namespace

extern "C" {

const char* posefix_version(void) { return POSEFIX_VERSION; }

const char* posefix_error(void) { return last_error().c_str(); }

posefix_status posefix_open(const char* path, const posefix_options* options, posefix_session** session) {
  return guarded([&] {
    require(path, "path");
    require(session, "session");
    *session = nullptr;
    posefix::runtime::SessionOptions resolved;
    if (options != nullptr) {
      if (options->backend != nullptr) resolved.backend = options->backend;
      if (options->device != nullptr) resolved.device = options->device;
      if (options->max_batch != 0) resolved.max_batch = options->max_batch;
      resolved.threads = options->threads;
    }
    auto opened = std::make_unique<posefix_session>();
    opened->session = posefix::runtime::open_session(path, resolved);
    opened->calibration = calibration_of(opened->session->info());
    opened->is_calibrated = opened->calibration != nullptr;
    *session = opened.release();
  });
}

void posefix_close(posefix_session* session) { delete session; }

posefix_status posefix_get_info(const posefix_session* session, posefix_info* info) {
  return guarded([&] {
    require(session, "session");
    require(info, "info");
    const posefix::runtime::ModelInfo& m = session->session->info();
    *info = {static_cast<int32_t>(m.height),
             static_cast<int32_t>(m.width),
             static_cast<int32_t>(m.joints),
             static_cast<int32_t>(m.heatmap_stride),
             static_cast<int32_t>(session->session->max_batch()),
             m.precision.c_str(),
             m.backend.c_str(),
             m.config_yaml.c_str(),
             m.skeleton_yaml.c_str()};
  });
}

posefix_status posefix_run(posefix_session* session, int32_t batch, const uint8_t* crops, const float* pose,
                           const float* valid, float* coords, float* spread) {
  return guarded([&] {
    require(session, "session");
    require(crops, "crops");
    require(pose, "pose");
    require(valid, "valid");
    require(coords, "coords");
    posefix::runtime::Session& s = *session->session;
    if (batch < 1 || batch > s.max_batch()) throw bad_input("a batch of {}, expected 1 to {}", batch, s.max_batch());
    const auto b = static_cast<size_t>(batch);
    const auto k = static_cast<size_t>(s.info().joints);
    const auto pixels = static_cast<size_t>(s.info().height * s.info().width);
    s.run({batch, {crops, b * pixels * 3}, {pose, b * k * 2}, {valid, b * k}},
          {{coords, b * k * 2}, spread == nullptr ? std::span<float>() : std::span<float>(spread, b * k)});
  });
}

posefix_status posefix_set_trust(posefix_session* session, const char* trust) {
  return guarded([&] {
    require(session, "session");
    require(trust, "trust");
    const std::string wanted = trust;
    if (wanted != "raw" && wanted != "calibrated") {
      throw bad_input("trust '{}': expected calibrated or raw", wanted);
    }
    if (wanted == "calibrated" && session->calibration == nullptr) {
      throw bad_input("the model carries no calibration that its backend can use; posefix calibrate makes one");
    }
    session->is_calibrated = wanted == "calibrated";
  });
}

const char* posefix_get_trust(const posefix_session* session) {
  if (session == nullptr) return nullptr;
  return session->is_calibrated ? "calibrated" : "raw";
}

posefix_status posefix_refine(posefix_session* session, const uint8_t* bgr, int32_t width, int32_t height,
                              int32_t persons, const double* keypoints, const double* boxes, int32_t flip_test,
                              double* refined) {
  return guarded([&] {
    require(session, "session");
    refine(*session, bgr, width, height, persons, keypoints, boxes, flip_test != 0, refined);
  });
}

}  // extern "C"
