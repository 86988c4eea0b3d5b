#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/mapped_pages.h"
#include "base/spelling.h"

namespace posefix {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Instead of a file's name.
constexpr const char* kStandardStream = "-";

// Where files are mapped now: begin to size. Known to all, so that whoever holds a part of one needs no more than its
// bytes to give its pages back.
struct Mappings {
  std::mutex mutex;
  std::map<const std::byte*, size_t> sizes;
};
Mappings& mappings() {
  static auto* all = new Mappings;  // outlives whatever maps files until the program's end
  return *all;
}

std::string reason(int error) { return std::strerror(error); }

std::string read_to_end(int fd, const std::filesystem::path& path) {
  std::string text;
  std::array<char, 1 << 16> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0) {
      if (errno == EINTR) {
        throw_if_interrupted();
        continue;
      }
      throw failed("{}: cannot read after {} bytes: {}", path.string(), text.size(), reason(errno));
    }
    text.append(buffer.data(), static_cast<size_t>(got));
  }
}

// Makes a rename in `folder` durable; a file system that cannot sync a folder is not an error.
void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() >= 0) ::fsync(fd.get());
}

std::string not_found_hint(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return fmt::format("; the folder {} does not exist either", folder.string());
  }
  const std::string similar = files_like(folder, path.filename().string());
  return similar.empty() ? fmt::format("; {} holds no files", folder.string())
                         : fmt::format("; {} holds: {}", folder.string(), similar);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const FileDescriptor fd(path == kStandardStream ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    const int error = errno;
    throw bad_input("{}: cannot open: {}{}", path.string(), reason(error), error == ENOENT ? not_found_hint(path) : "");
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw failed("{}: cannot stat: {}", path.string(), reason(errno));
  if (S_ISDIR(status.st_mode)) {
    const std::string held = files_like(path, "");
    throw bad_input("{}: is a folder, expected a file; it holds: {}", path.string(), held.empty() ? "no files" : held);
  }
  const std::shared_ptr<MappedFile> file(new MappedFile(path));
  if (!S_ISREG(status.st_mode)) {
    file->piped_ = read_to_end(fd.get(), path);
    file->bytes_ = std::as_bytes(std::span(file->piped_));
  } else if (status.st_size > 0) {
    const auto size = static_cast<size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (address == MAP_FAILED) throw failed("{}: cannot map: {}", path.string(), reason(errno));
    file->bytes_ = {static_cast<const std::byte*>(address), size};
    Mappings& all = mappings();
    const std::lock_guard<std::mutex> lock(all.mutex);
    all.sizes.emplace(file->bytes_.data(), size);
  }
  return file;
}

MappedFile::~MappedFile() {
  if (!piped_.empty() || bytes_.empty()) return;
  Mappings& all = mappings();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.sizes.erase(bytes_.data());
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::forget_pages() const { release_pages(bytes_); }

void release_pages(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  Mappings& all = mappings();
  const std::lock_guard<std::mutex> lock(all.mutex);
  auto mapping = all.sizes.upper_bound(bytes.data());
  if (mapping == all.sizes.begin()) return;
  --mapping;
  const auto offset = static_cast<size_t>(bytes.data() - mapping->first);
  if (offset >= mapping->second) return;
  PFX_CHECK(bytes.size() <= mapping->second - offset);
  static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = offset / page * page;
  ::madvise(const_cast<std::byte*>(mapping->first) + begin, offset + bytes.size() - begin, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path) { return std::string(MappedFile::open(path)->text()); }

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  struct stat status {};
  const bool is_stdout = target_ == kStandardStream;
  const bool exists = !is_stdout && ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    throw bad_input("{}: is a folder, expected the name of a file to write", target_.string());
  }
  if (is_stdout) {
    fd_ = ::dup(STDOUT_FILENO);
  } else if (exists && !S_ISREG(status.st_mode)) {
    fd_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    static std::atomic<unsigned> serial{0};
    temporary_ =
        target_.parent_path() / fmt::format(".{}.{}-{}.tmp", target_.filename().string(), ::getpid(), serial++);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (fd_ < 0) {
    const int error = errno;
    if (target_.has_parent_path()) check_folder(target_.parent_path(), target_.string());
    throw failed("{}: cannot write here: {}", target_.string(), reason(error));
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    ::close(fd_);
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  PFX_CHECK(fd_ >= 0);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      const int error = errno;
      throw failed("{}: cannot write after {} bytes: {}{}", target_.string(), size_, reason(error),
                   temporary_.empty() ? "" : "; the file that was there is unchanged");
    }
    size_ += static_cast<size_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::commit() {
  PFX_CHECK(fd_ >= 0);
  if (temporary_.empty()) {
    ::close(fd_);
    fd_ = -1;
    return;
  }
  const int synced = ::fsync(fd_);
  const int error = errno;
  if (synced != 0) throw failed("{}: cannot sync: {}", target_.string(), reason(error));
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    throw failed("{}: cannot rename the finished file into place: {}", target_.string(), reason(errno));
  }
  ::close(fd_);
  fd_ = -1;
  sync_folder(target_.parent_path());
}

void write_file_atomically(const std::filesystem::path& target, std::string_view text) {
  AtomicFile file(target);
  file.write(text);
  file.commit();
}

void check_can_write(const std::filesystem::path& target) {
  struct stat status {};
  // To open a pipe and close it again would tell its reader that it has come to the end.
  if (target == kStandardStream || (::stat(target.c_str(), &status) == 0 && S_ISFIFO(status.st_mode))) return;
  const AtomicFile probe(target);
}

void check_folder(const std::filesystem::path& folder, std::string_view where) {
  std::error_code ignored;
  if (std::filesystem::is_directory(folder, ignored)) return;
  if (std::filesystem::exists(folder, ignored)) throw bad_input("{}: {} is not a folder", where, folder.string());
  throw bad_input("{}: the folder {} does not exist", where, folder.string());
}

std::string files_like(const std::filesystem::path& folder, std::string_view name) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return edit_distance(a, name) < edit_distance(b, name);
  });
  constexpr size_t kShown = 5;
  const size_t shown = std::min(names.size(), kShown);
  std::string list = fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (names.size() > shown) list += fmt::format(" and {} more", names.size() - shown);
  return list;
}

}  // namespace posefix
