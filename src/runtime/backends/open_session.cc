// Which backend opens what: the one place that knows them all.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "plan/plan_file.h"
#include "runtime/backend.h"
#include "runtime/backends/ascend/ascend_session.h"
#include "runtime/parallel_session.h"

namespace posefix::runtime {
namespace {

// Plans of this process by file, so that sessions of one file share its weights. A file that was written anew is
// another one.
PlanPointer read_shared(const std::filesystem::path& path) {
  using FileId = std::tuple<dev_t, ino_t, off_t, time_t, long>;
  static std::mutex mutex;
  static std::map<FileId, std::weak_ptr<const plan::Plan>> open;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return plan::read_plan(path);  // which says why
  const FileId id{status.st_dev, status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  const std::lock_guard<std::mutex> lock(mutex);
  std::erase_if(open, [](const auto& entry) { return entry.second.expired(); });
  const auto found = open.find(id);
  if (PlanPointer shared = found == open.end() ? nullptr : found->second.lock()) return shared;
  PlanPointer plan = plan::read_plan(path);
  open[id] = plan;
  return plan;
}

// The cpu backend with as many streams as are asked for, but none without a thread.
std::unique_ptr<Session> open_streams(const PlanPointer& plan, const SessionOptions& options) {
  const int threads = options.threads > 0 ? options.threads : available_cores();
  const int streams = std::min(options.streams, threads);
  if (streams == 1) return open_cpu(plan, options);
  const auto open = [plan, options, threads, streams](int64_t stream) {
    SessionOptions part = options;
    part.threads = threads / streams + (stream < threads % streams ? 1 : 0);
    return open_cpu(plan, part);
  };
  return std::make_unique<ParallelSession>(open, streams);
}

}  // namespace

std::unique_ptr<Session> open_session(const std::filesystem::path& plan, const SessionOptions& options) {
  const bool is_om = plan.extension() == ".om";
  if (is_om && !options.backend.empty() && options.backend != "ascend") {
    throw bad_input(
        "--backend {}: {} is compiled for an Ascend device and runs there alone; give what it was made from",
        options.backend, plan.string());
  }
  if (!is_om && options.backend == "ascend") {
    throw bad_input("--backend ascend: {} is no .om; make one with: posefix compile {} --target ascend:SOC --out M.om",
                    plan.string(), plan.string());
  }
  if (is_om) return ascend::open_ascend(plan, options);
  if (options.backend == "torch") return open_torch(plan, options);
  try {
    return open_session(read_shared(plan), options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(plan.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(plan.string());
  }
}

std::unique_ptr<Session> open_session(PlanPointer plan, const SessionOptions& options) {
  const std::string backend = options.backend.empty() ? plan->metadata.target : options.backend;
  if (options.max_batch < 1 || options.max_batch > 1024) {
    throw bad_input("a batch of {}, expected 1 to 1024", options.max_batch);
  }
  if (options.threads < 0 || options.threads > 1024) {
    throw bad_input("{} threads, expected 1 to 1024, or 0 for all cores", options.threads);
  }
  if (options.streams < 1) throw bad_input("{} streams, expected 1 or more", options.streams);
  if (backend == "reference") return open_reference(std::move(plan), options);
  if (backend == "cpu") return open_streams(plan, options);
  throw bad_input("a plan for '{}' asked to run on the backend '{}'; plans run on cpu and reference",
                  plan->metadata.target, backend);
}

}  // namespace posefix::runtime
