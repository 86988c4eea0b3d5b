// Files: read whole or mapped, written beside and renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace posefix {

// A read-only mapping of a whole file. An empty file maps to an empty span. "-" is standard input; it, a pipe and a
// device are read to their end into memory.
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
  explicit MappedFile(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  std::string piped_;                 // what came through a pipe; empty for a file
  std::span<const std::byte> bytes_;  // the mapping, or piped_
};

std::string read_file(const std::filesystem::path& path);

// Writes to a hidden file in the target's folder; commit() syncs it and renames it over the target, so that a
// reader sees the old file or the new one, never a part. Without commit() the destructor removes it.
// A pipe or a device is never replaced: it gets the bytes as they are written; "-" is standard output.
class AtomicFile {
 public:
  // Error (bad input) if the target is a folder or its folder does not exist, (failed) if it cannot be written to.
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
  std::filesystem::path temporary_;  // empty: the target is written to directly
  int fd_ = -1;
  size_t size_ = 0;
};

void write_file_atomically(const std::filesystem::path& target, std::string_view text);

// The error that AtomicFile(target) would throw, for a verb that works long before it writes. Leaves nothing behind.
void check_can_write(const std::filesystem::path& target);

// Error (bad input) "where: ..." unless the folder exists.
void check_folder(const std::filesystem::path& folder, std::string_view where);

// Names of the regular files in `folder` nearest to `name` in spelling, best first, for "did you mean" messages.
std::string files_like(const std::filesystem::path& folder, std::string_view name);

}  // namespace posefix
