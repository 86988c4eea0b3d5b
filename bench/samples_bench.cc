// folders: sample dataset image synthesis
// Training samples per second at 256x192 from JPEG on one core, against what decoding and warping alone allow.
//
//   samples_bench [ANNOTATIONS.json IMAGES]     default: examples/coco-mini
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "base/error.h"
#include "dataset/coco_annotations.h"
#include "dataset/training_people.h"
#include "sample/loader.h"

namespace {

using namespace posefix;
constexpr double kReferencePerSecond = 36;  // PoseFix_RELEASE's loader, one process, this kind of machine
constexpr double kCv2PerSecond = 245;       // cv2 imread + warpAffine alone, likewise

// CPU time of all threads: one of them works, and a busy machine does not count.
double now_s() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Decodes a picture for every person and warps it, nothing else.
double floor_rate(const sample::SampleSource& source) {
  constexpr image::CropSize kSize{256, 192};
  std::vector<uint8_t> crop(3 * 256 * 192);
  image::Image picture;
  int64_t samples = 0;
  double decode_s = 0;
  const double begin = now_s();
  while (now_s() - begin < 3) {
    for (const dataset::Person& person : source.people) {
      const double before = now_s();
      image::decode_into(source.pictures[person.image], picture);
      decode_s += now_s() - before;
      image::warp(picture, image::crop_geometry(person.bbox, kSize, picture.width, {1, 20, false}), kSize, crop);
      ++samples;
    }
  }
  const double elapsed = now_s() - begin;
  fmt::print("{:<40}{:>9.1f} samples/s (decoding {:.2f} ms, warping {:.2f} ms)\n", "decode + warp alone",
             static_cast<double>(samples) / elapsed, 1000 * decode_s / static_cast<double>(samples),
             1000 * (elapsed - decode_s) / static_cast<double>(samples));
  return static_cast<double>(samples) / elapsed;
}

void loader_rate(const char* name, const sample::SampleSource& source, sample::LoaderConfig config, double floor) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  sample::Loader loader(source, skeleton, synthesis::ErrorModel::paper(skeleton), config);
  loader.start(0);
  for (int64_t i = 0; i < config.prefetch; ++i) loader.next();  // what was made ahead does not count
  int64_t samples = 0;
  const double begin = now_s();
  while (now_s() - begin < 3) {
    loader.next();
    samples += config.batch_size;
  }
  const double rate = static_cast<double>(samples) / (now_s() - begin);
  fmt::print("{:<40}{:>9.1f} samples/s{:>8.2f} x decode + warp{:>8.1f} x reference{:>7.1f} x cv2\n", name, rate,
             rate / floor, rate / kReferencePerSecond, rate / kCv2PerSecond);
}

void run(const std::string& annotations_path, const std::string& images) {
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(annotations_path);
  const sample::SampleSource source =
      sample::locate_samples(annotations, dataset::training_people(annotations, nullptr), images);
  fmt::print("{} people in {} pictures, one thread\n", source.people.size(), annotations.images.size());
  const double floor = floor_rate(source);
  sample::LoaderConfig config;
  config.threads = 1;
  config.batch_size = 32;
  config.cache_bytes = 0;
  config.block_pictures = 0;
  loader_rate("loader, a picture decoded per person", source, config, floor);
  config.cache_bytes = sample::LoaderConfig().cache_bytes;
  config.block_pictures = 8;
  config.cache_bytes = size_t{12} << 20;
  loader_rate("loader, a picture decoded per 8-block", source, config, floor);
  config.cache_bytes = size_t{1} << 30;
  loader_rate("loader, all pictures in the cache", source, config, floor);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = POSEFIX_SOURCE_DIR "/examples/coco-mini";
  try {
    run(argc > 2 ? argv[1] : folder + "/annotations/person_keypoints_train2017.json",
        argc > 2 ? argv[2] : folder + "/images/train2017");
  } catch (const Error& error) {
    fmt::print(stderr, "samples_bench: {}\n", error.what());
    return error.exit_code();
  }
}
