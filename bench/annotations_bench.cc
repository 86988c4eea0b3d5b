// folders: dataset
// Reads a COCO annotation file of 1,000,000 people, about 1 GB, on one core: MB of text per CPU second, and memory at
// the peak as a multiple of the file's size (its mapped pages counted in).
//
//   annotations_bench [PEOPLE]     the file is made in the folder for temporary files and removed again
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <filesystem>

#include "base/file.h"
#include "base/rng.h"
#include "dataset/coco_annotations.h"

namespace {

using namespace posefix;
namespace fs = std::filesystem;

// CPU time, so that a busy machine does not count.
double now_s() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// What follows a person's ids: a polygon of 36 points, box, area and joints, as long as COCO's are on average.
std::string random_person(Rng& rng) {
  std::string text = "\"iscrowd\": 0, \"category_id\": 1, \"segmentation\": [[";
  for (int i = 0; i < 72; ++i) text += fmt::format("{}{:.2f}", i == 0 ? "" : ", ", rng.uniform(0, 640));
  text += fmt::format("]], \"bbox\": [{:.2f}, {:.2f}, {:.2f}, {:.2f}], \"area\": {:.4f}, \"num_keypoints\": 17, ",
                      rng.uniform(0, 300), rng.uniform(0, 200), rng.uniform(20, 300), rng.uniform(20, 300),
                      rng.uniform(400, 90000));
  text += "\"keypoints\": [";
  for (int i = 0; i < 17; ++i) {
    text += fmt::format("{}{}, {}, {}", i == 0 ? "" : ", ", rng.below(640), rng.below(480), 1 + rng.below(2));
  }
  return text + "]}";
}

void write_file(const fs::path& path, int people) {
  constexpr int kPeoplePerPicture = 4;
  Rng rng(1, 0, 0);
  std::vector<std::string> bodies;
  for (int i = 0; i < 2000; ++i) bodies.push_back(random_person(rng));
  AtomicFile file(path);
  std::string text = "{\"images\": [";
  for (int id = 0; id < people / kPeoplePerPicture; ++id) {
    text +=
        fmt::format("{}{{\"license\": 1, \"file_name\": \"{:012}.jpg\", \"height\": 480, \"width\": 640, \"id\": {}}}",
                    id == 0 ? "" : ", ", id, id);
  }
  text += "], \"annotations\": [";
  for (int id = 0; id < people; ++id) {
    text += fmt::format("{}{{\"id\": {}, \"image_id\": {}, ", id == 0 ? "" : ", ", id, id / kPeoplePerPicture);
    text += bodies[static_cast<size_t>(id) % bodies.size()];
    if (text.size() < size_t{1} << 22) continue;
    file.write(text);
    text.clear();
  }
  file.write(text + "], \"categories\": [{\"id\": 1, \"name\": \"person\"}]}");
  file.commit();
}

double peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

}  // namespace

int main(int argc, char** argv) {
  const int people = argc > 1 ? std::stoi(argv[1]) : 1'000'000;
  const fs::path path = fs::temp_directory_path() / fmt::format("annotations_bench_{}.json", ::getpid());
  write_file(path, people);
  const auto size = static_cast<double>(fs::file_size(path));
  const double begin = now_s();
  const size_t read = dataset::read_coco_annotations(path).annotations.size();
  const double seconds = now_s() - begin;
  fs::remove(path);
  fmt::print(
      "{} people, {:.0f} MB: {:.2f} s, {:.0f} MB/s ({:.1f} x the aim of 300), {:.2f} x the file's size in memory\n",
      read, size / 1e6, seconds, size / 1e6 / seconds, size / 1e6 / seconds / 300, peak_memory_bytes() / size);
}
