// Files: read whole or mapped, written beside and renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace posefix {

// A read-only mapping of a whole file. An empty file maps to an empty span.
class MappedFile {
 public:
  // Error (bad input) if the path does not exist, is a directory or cannot be read.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  // Lets the kernel drop pages that were read (they are read again when touched).
  void forget_pages() const;

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

std::string read_file(const std::filesystem::path& path);

// Writes to a hidden file in the target's folder; commit() syncs it and renames it over the target, so that a
// reader sees the old file or the new one, never a part. Without commit() the destructor removes it.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);  // Error (failed) on a full disk and the like
  void write(std::string_view text);
  size_t size() const { return size_; }  // bytes written so far
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  size_t size_ = 0;
};

void write_file_atomically(const std::filesystem::path& target, std::string_view text);

// Names of the regular files in `folder` nearest to `name` in spelling, best first, for "did you mean" messages.
std::string files_like(const std::filesystem::path& folder, std::string_view name);

}  // namespace posefix
