// Decoded pictures, least recently used ones dropped when they outgrow a budget; a picture that two threads want is
// decoded once. Corrupt pictures are remembered with what was wrong, so that each is read once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "image/image.h"

namespace posefix::sample {

class PictureCache {
 public:
  // `budget_bytes` bounds what is kept beyond the pictures in use; 0 keeps none.
  PictureCache(std::vector<std::filesystem::path> pictures, size_t budget_bytes, image::ExifOrientation orientation);

  // The picture at that position of the list. Rethrows what decoding threw, at every call. Safe from many threads.
  std::shared_ptr<const image::Image> get(size_t picture);

  int64_t decoded() const;  // pictures decoded so far

 private:
  struct Entry {
    bool ready = false;
    std::shared_ptr<const image::Image> image;
    std::exception_ptr error;
    std::list<size_t>::iterator place;  // in recent_; of ready ones with an image
  };
  // Pictures whose memory waits to be used again; outlives the cache while pictures are in use.
  struct Spare {
    std::mutex mutex;
    std::vector<std::unique_ptr<image::Image>> pictures;
  };
  std::shared_ptr<image::Image> take_spare();
  void settle(size_t picture, std::shared_ptr<const image::Image> image, std::exception_ptr error);

  const std::vector<std::filesystem::path> pictures_;
  const size_t budget_bytes_;
  const image::ExifOrientation orientation_;
  const std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();
  mutable std::mutex mutex_;
  std::condition_variable settled_;
  std::unordered_map<size_t, Entry> entries_;
  std::list<size_t> recent_;  // newest first
  size_t bytes_ = 0;
  int64_t decoded_ = 0;
};

}  // namespace posefix::sample
