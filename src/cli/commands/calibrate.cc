// posefix calibrate S.safetensors --annotations A.json --images DIR --poses P.json --out S2.safetensors: learns how far
// to trust each joint's answer; see trust/trust.h.
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/trust_calibration.h"

namespace posefix::cli {
namespace {

struct Flags {
  CalibrationRequest request;
  bool no_flip = false;
  bool json = false;
};

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CalibrationRequest& request = flags->request;
  app.add_option("SNAPSHOT", request.snapshot, "the network (.safetensors)")->required();
  app.add_option("--annotations", request.annotations,
                 "COCO keypoint annotations of people that the network did not learn from; once, or once a pose file")
      ->required()
      ->take_all();
  app.add_option("--images", request.images, "folder of their pictures; once, or once a pose file")
      ->required()
      ->take_all();
  app.add_option("--poses", request.poses, "an estimator's poses of these people; may be repeated")
      ->required()
      ->take_all();
  app.add_option("--drawn-errors", request.drawn_errors,
                 "calibrate on poses drawn with these errors too: a file of `errors fit`, or paper");
  app.add_option("--draws", request.draws, "drawn poses of each person")->capture_default_str();
  app.add_option("--out", request.out, "the snapshot with its calibration, without training state")->required();
  app.add_option("--batch", request.session.max_batch, "crops a run")->capture_default_str();
  app.add_option("--threads", request.session.threads, "0: all cores")->capture_default_str();
  app.add_option("--backend", request.session.backend, "cpu, reference or torch; default: cpu");
  app.add_option("--device", request.session.device, "of the torch backend: cpu, cuda or npu");
  app.add_flag("--no-flip", flags->no_flip, "calibrate for refining without the flip test");
  app.add_flag("--json", flags->json, "print JSON instead of tables");
  return [flags] {
    flags->request.flip = !flags->no_flip;
    print_calibration(calibrate(flags->request), flags->json);
    std::fprintf(stderr, "calibrate: wrote %s\n", flags->request.out.c_str());
  };
}

const CommandRegistration registration{"calibrate", "learn how far to trust each joint's answer", &setup};

}  // namespace
}  // namespace posefix::cli
