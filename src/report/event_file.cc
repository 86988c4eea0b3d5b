#include "report/event_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>

#include "base/crc32c.h"
#include "base/error.h"

namespace posefix::report {
namespace {

constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

template <typename T>
void append_little_endian(std::string& out, T value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}

void append_key(std::string& out, uint32_t field, uint32_t wire_type) { append_varint(out, field << 3 | wire_type); }

void append_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  append_key(out, field, kBytes);
  append_varint(out, bytes.size());
  out += bytes;
}

// Wall time and step, as every event has them.
std::string event_head(int64_t step) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  append_key(event, 1, kFixed64);
  append_little_endian(event, std::bit_cast<uint64_t>(std::chrono::duration<double>(now).count()));
  append_key(event, 2, kVarint);
  append_varint(event, static_cast<uint64_t>(step));
  return event;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

// A name that no file of the folder has.
std::filesystem::path new_name(const std::filesystem::path& folder) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const std::string name = fmt::format("events.out.tfevents.{}.{}.{}", seconds, host_name(), ::getpid());
  std::filesystem::path path = folder / name;
  for (int i = 1; std::filesystem::exists(path); ++i) path = folder / fmt::format("{}.{}", name, i);
  return path;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step)
    : path_(new_name(folder)), file_(path_, std::ios::binary | std::ios::app) {
  if (!file_) throw failed("{}: cannot write here", path_.string());
  std::string version = event_head(0);
  append_bytes(version, 3, "brain.Event:2");
  write(version);
  std::string start;
  append_key(start, 1, kVarint);
  append_varint(start, 1);
  std::string session = event_head(first_step);
  append_bytes(session, 7, start);
  write(session);
}

void EventFile::add(int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {
    std::string entry;
    append_bytes(entry, 1, tag);
    append_key(entry, 2, kFixed32);
    append_little_endian(entry, std::bit_cast<uint32_t>(static_cast<float>(value)));
    append_bytes(summary, 1, entry);
  }
  std::string event = event_head(step);
  append_bytes(event, 5, summary);
  write(event);
}

void EventFile::write(std::string_view event) {
  std::string record;
  append_little_endian(record, static_cast<uint64_t>(event.size()));
  append_little_endian(record, mask_crc32c(crc32c(record)));
  record += event;
  append_little_endian(record, mask_crc32c(crc32c(event)));
  file_ << record << std::flush;
  if (!file_) throw failed("{}: cannot write (is the disk full?)", path_.string());
}

}  // namespace posefix::report
