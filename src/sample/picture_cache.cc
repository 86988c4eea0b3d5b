#include "sample/picture_cache.h"

namespace posefix::sample {

PictureCache::PictureCache(std::vector<std::filesystem::path> pictures, size_t budget_bytes,
                           image::ExifOrientation orientation)
    : pictures_(std::move(pictures)), budget_bytes_(budget_bytes), orientation_(orientation) {}

std::shared_ptr<const image::Image> PictureCache::get(size_t picture) {
  {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto found = entries_.find(picture);
      if (found == entries_.end()) break;
      Entry& entry = found->second;
      if (entry.error) std::rethrow_exception(entry.error);
      if (entry.ready) {
        recent_.splice(recent_.begin(), recent_, entry.place);
        return entry.image;
      }
      settled_.wait(lock);
    }
    entries_[picture];  // being decoded by this thread
  }
  std::shared_ptr<const image::Image> image;
  std::exception_ptr error;
  try {
    const std::shared_ptr<image::Image> fresh = take_spare();
    image::decode_into(pictures_.at(picture), *fresh, orientation_);
    image = fresh;
  } catch (...) {
    error = std::current_exception();
  }
  settle(picture, image, error);
  if (error) std::rethrow_exception(error);
  return image;
}

// Fresh megabytes from the system cost a tenth of the decoding, so memory that is given back is kept for the next one.
std::shared_ptr<image::Image> PictureCache::take_spare() {
  constexpr size_t kMostSpare = 8;
  std::unique_ptr<image::Image> taken;
  {
    const std::scoped_lock lock(spare_->mutex);
    if (!spare_->pictures.empty()) {
      taken = std::move(spare_->pictures.back());
      spare_->pictures.pop_back();
    }
  }
  if (!taken) taken = std::make_unique<image::Image>();
  return {taken.release(), [spare = spare_](image::Image* returned) {
            std::unique_ptr<image::Image> owned(returned);
            const std::scoped_lock lock(spare->mutex);
            if (spare->pictures.size() < kMostSpare) spare->pictures.push_back(std::move(owned));
          }};
}

void PictureCache::settle(size_t picture, std::shared_ptr<const image::Image> image, std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  ++decoded_;
  Entry& entry = entries_[picture];
  entry.ready = true;
  entry.error = std::move(error);
  if (!entry.error) {
    bytes_ += image->bgr.size();
    entry.image = std::move(image);
    recent_.push_front(picture);
    entry.place = recent_.begin();
    while (bytes_ > budget_bytes_ && !recent_.empty()) {
      const size_t oldest = recent_.back();
      bytes_ -= entries_[oldest].image->bgr.size();
      entries_.erase(oldest);
      recent_.pop_back();
    }
  }
  settled_.notify_all();
}

int64_t PictureCache::decoded() const {
  const std::scoped_lock lock(mutex_);
  return decoded_;
}

}  // namespace posefix::sample
