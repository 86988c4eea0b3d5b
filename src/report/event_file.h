// Figures over steps as TensorBoard reads them: RUN/events.out.tfevents.<unix time>.<host>.<process>.
//
// A file is a sequence of records:
//   u64 little-endian length, u32 masked CRC-32C of these 8 bytes, the data, u32 masked CRC-32C of the data
// and the data of a record is a protobuf message Event:
//   1 wall_time double, 2 step int64, 3 file_version string, 5 summary {1 value {1 tag string, 2 simple_value float}},
//   7 session_log {1 status enum, 1 = START}
// The first record names the version "brain.Event:2". Invariant: records are appended, a torn last one is what a reader
// expects of a process that was killed. Sources: tensorflow/core/lib/io/record_writer.h, core/util/event.proto,
// core/framework/summary.proto.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posefix::report {

using Scalars = std::vector<std::pair<std::string, double>>;  // tag, value

class EventFile {
 public:
  // A new file in `folder`, whose figures begin at `first_step`: readers drop what other files there hold from that
  // step on, so that a resumed run draws one curve. Error (failed) when it cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  void add(int64_t step, const Scalars& scalars);  // Error (failed) on a full disk and the like
  const std::filesystem::path& path() const { return path_; }

 private:
  void write(std::string_view event);

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace posefix::report
