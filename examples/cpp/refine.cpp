// refine MODEL.plan: opens an offline model, runs it on a batch of crops and on one person in a grey picture.
#include <cstdio>
#include <posefix/posefix.hpp>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s MODEL.plan\n", argv[0]);
    return 2;
  }
  try {
    posefix::api::Options options;
    options.max_batch = 2;
    posefix::Session session(argv[1], options);
    const posefix_info& info = session.info();
    const auto joints = static_cast<std::size_t>(info.joints);
    std::printf("%dx%d crops, %d joints, %s on %s\n", info.height, info.width, info.joints, info.precision,
                info.backend);

    // The network alone: crops, and poses in the crops' pixels.
    const std::vector<unsigned char> crops(
        static_cast<std::size_t>(info.height) * static_cast<std::size_t>(info.width) * 3 * 2, 128);
    const std::vector<float> pose(joints * 2 * 2, 40.0F);
    const std::vector<float> valid(joints * 2, 1.0F);
    const posefix::Session::Answer answer = session.run(2, crops, pose, valid);
    std::printf("joint 0: (%.1f, %.1f) +- %.1f px in the crop\n", answer.coords[0], answer.coords[1], answer.spread[0]);

    // A picture with a person; a real program decodes a photograph and asks an estimator for the pose.
    const std::vector<unsigned char> pixels(320 * 240 * 3, 128);
    std::vector<double> keypoints;
    for (std::size_t k = 0; k < joints; ++k) {
      keypoints.insert(keypoints.end(), {100 + 5.0 * static_cast<double>(k), 60 + 7.0 * static_cast<double>(k), 0.9});
    }
    const std::vector<double> refined = session.refine({pixels.data(), 320, 240}, keypoints);
    for (std::size_t k = 0; k < joints; ++k) {
      std::printf("joint %zu: (%.1f, %.1f) -> (%.1f, %.1f)\n", k, keypoints[k * 3], keypoints[k * 3 + 1],
                  refined[k * 2], refined[k * 2 + 1]);
    }
  } catch (const posefix::api::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
