// The C++ API of the deployed library: posefix.h with ownership, containers and exceptions. Header-only, C++17; no
// third-party type in it. See posefix.h for shapes and frames.
//
//   posefix::Session session("model.plan");
//   std::vector<double> better = session.refine({pixels, width, height}, keypoints);
#ifndef POSEFIX_POSEFIX_HPP_
#define POSEFIX_POSEFIX_HPP_

#include <posefix/posefix.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace posefix {
namespace api {

class Error : public std::runtime_error {
 public:
  Error(posefix_status status, const char* message) : std::runtime_error(message), status_(status) {}
  posefix_status status() const { return status_; }

 private:
  posefix_status status_;
};

struct Options {
  std::string backend;  // "": what the model was compiled for
  std::string device;
  int max_batch = 8;
  int threads = 0;  // 0: all cores
};

// Borrowed pixels, BGR, rows top to bottom.
struct Picture {
  const unsigned char* bgr;
  int width;
  int height;
};

class Session {
 public:
  // Throws Error.
  explicit Session(const std::string& path, const Options& options = Options()) {
    const posefix_options plain = {options.backend.empty() ? nullptr : options.backend.c_str(),
                                   options.device.empty() ? nullptr : options.device.c_str(), options.max_batch,
                                   options.threads};
    posefix_session* opened = nullptr;
    check(posefix_open(path.c_str(), &plain, &opened));
    session_.reset(opened);
    check(posefix_get_info(opened, &info_));
  }

  // Texts live as long as the session.
  const posefix_info& info() const { return info_; }

  // "calibrated" or "raw": how far refine() follows the network; see posefix_set_trust(). Throws Error.
  void set_trust(const std::string& trust) { check(posefix_set_trust(session_.get(), trust.c_str())); }
  std::string trust() const { return posefix_get_trust(session_.get()); }

  struct Answer {
    std::vector<float> coords;  // [B,K,2] crop_px
    std::vector<float> spread;  // [B,K] crop_px
  };
  // crops [B,H,W,3] BGR, pose [B,K,2] crop_px, valid [B,K]. Throws Error.
  Answer run(int batch, const std::vector<unsigned char>& crops, const std::vector<float>& pose,
             const std::vector<float>& valid) {
    const std::size_t b = batch > 0 ? static_cast<std::size_t>(batch) : 0;
    const std::size_t k = static_cast<std::size_t>(info_.joints);
    const std::size_t pixels = static_cast<std::size_t>(info_.height) * static_cast<std::size_t>(info_.width);
    if (crops.size() != b * pixels * 3 || pose.size() != b * k * 2 || valid.size() != b * k) {
      throw Error(POSEFIX_BAD_INPUT, "crops, pose or valid do not have the size of the batch");
    }
    Answer answer;
    answer.coords.resize(b * k * 2);
    answer.spread.resize(b * k);
    check(posefix_run(session_.get(), batch, crops.data(), pose.data(), valid.data(), answer.coords.data(),
                      answer.spread.data()));
    return answer;
  }

  // keypoints [N,K,3] image_px x, y, score; boxes [N,4] or empty -> [N,K,2] image_px. Throws Error.
  std::vector<double> refine(const Picture& picture, const std::vector<double>& keypoints,
                             const std::vector<double>& boxes = std::vector<double>(), bool flip_test = true) {
    const std::size_t width = 3 * static_cast<std::size_t>(info_.joints);
    const std::size_t persons = keypoints.size() / width;
    if (keypoints.size() != persons * width || (!boxes.empty() && boxes.size() != 4 * persons)) {
      throw Error(POSEFIX_BAD_INPUT, "keypoints must have 3 numbers per joint of the model, boxes 4 per person");
    }
    std::vector<double> refined(persons * width / 3 * 2);
    check(posefix_refine(session_.get(), picture.bgr, picture.width, picture.height, static_cast<int>(persons),
                         keypoints.data(), boxes.empty() ? nullptr : boxes.data(), flip_test ? 1 : 0, refined.data()));
    return refined;
  }

 private:
  struct Close {
    void operator()(posefix_session* session) const { posefix_close(session); }
  };
  static void check(posefix_status status) {
    if (status != POSEFIX_OK) throw Error(status, posefix_error());
  }

  std::unique_ptr<posefix_session, Close> session_;
  posefix_info info_ = posefix_info();
};

}  // namespace api

using api::Session;

}  // namespace posefix

#endif  // POSEFIX_POSEFIX_HPP_
