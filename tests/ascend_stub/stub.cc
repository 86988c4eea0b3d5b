#include "stub.h"

#include <cstdlib>

namespace ascend_stub {
namespace {

constexpr const char* kKindNames[] = {"context", "stream", "event", "model description", "data set", "data buffer"};

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

void work_off(const std::shared_ptr<Stream::Queue>& queue) {
  std::unique_lock lock(queue->mutex);
  while (true) {
    queue->changed.wait(lock, [&] { return queue->stop || !queue->work.empty(); });
    if (queue->work.empty()) return;
    const std::function<acl::aclError()> work = std::move(queue->work.front());
    queue->work.pop_front();
    lock.unlock();
    const acl::aclError error = work();
    lock.lock();
    if (queue->error == 0) queue->error = error;
    --queue->left;
    queue->changed.notify_all();
  }
}

// Looks after the process's end, after main and after the program's own static objects.
struct AtExit {
  ~AtExit() {
    const Stub& stub = Stub::instance();
    if (stub.is_initialised && !stub.is_broken) {
      break_rule(kFinalizeBeforeExit, "the process ends without aclFinalize; alive: " + stub.leftovers());
    }
  }
} at_exit;

}  // namespace

thread_local Context* current_context = nullptr;
thread_local std::optional<std::chrono::steady_clock::time_point> ready_since;

Stub& Stub::instance() {
  static Stub& stub = *new Stub();  // outlives the detached threads
  return stub;
}

void Stub::configure() {
  is_device_mode = environment("ASCEND_STUB_RUN_MODE", "host") == "device";
  soc = environment("ASCEND_STUB_SOC", "Ascend310P3");
  devices = std::atoll(environment("ASCEND_STUB_DEVICES", "1").c_str());
  device_bytes = SIZE_MAX;
  if (const char* limit = std::getenv("ASCEND_STUB_DEVICE_BYTES")) device_bytes = std::strtoull(limit, nullptr, 10);
  ms_per_batch = std::atoll(environment("ASCEND_STUB_MS_PER_BATCH", "0").c_str());
  computes = environment("ASCEND_STUB_COMPUTE", "1") != "0";
  fault_ = environment("ASCEND_STUB_FAULT", "");
  fault_at_ = 1;
  calls_.clear();
  if (const size_t colon = fault_.find(':'); colon != std::string::npos) {
    fault_at_ = std::atoll(fault_.c_str() + colon + 1);
    fault_.resize(colon);
  }
}

void Stub::require_init(const char* call) const {
  if (!is_initialised) break_rule(kInitFirst, std::string(call) + " without aclInit");
}

Context& Stub::require_context(const char* call) const {
  require_init(call);
  if (current_context == nullptr) break_rule(kContextCurrent, std::string(call) + ": this thread has no context");
  check_handle(current_context, Kind::kContext, call);
  return *current_context;
}

LoadedModel& Stub::require_model(uint32_t id, const char* call) const {
  const Context& context = require_context(call);
  const auto found = models.find(id);
  if (found == models.end()) break_rule(kUseAfterFree, std::string(call) + ": no loaded model has this id");
  if (found->second->context != &context) break_rule(kModelContext, std::string(call) + ": loaded in another context");
  return *found->second;
}

bool Stub::is_fault_due(const std::string& what) {
  const int64_t call = ++calls_[what];
  if (what != fault_) return false;
  return what == "lost" ? call >= fault_at_ : call == fault_at_;
}

void Stub::check_handle(const void* handle, Kind kind, const char* call) const {
  const auto found = handles_.find(handle);
  const std::string name = kKindNames[static_cast<int>(kind)];
  if (found == handles_.end() || found->second.kind != kind) {
    break_rule(kKnownHandle, std::string(call) + ": not a " + name);
  }
  if (!found->second.is_alive) break_rule(kUseAfterFree, std::string(call) + ": the " + name + " was destroyed");
}

std::string Stub::leftovers() const {
  std::map<std::string, int> counts;
  for (const auto& [handle, info] : handles_) {
    if (info.is_alive) ++counts[kKindNames[static_cast<int>(info.kind)]];
  }
  std::string text = memory.alive();
  for (const auto& [name, number] : counts) text += (text.empty() ? "" : ", ") + std::to_string(number) + " " + name;
  if (!models.empty()) text += (text.empty() ? "" : ", ") + std::to_string(models.size()) + " loaded models";
  if (!set_devices.empty())
    text += (text.empty() ? "" : ", ") + std::to_string(set_devices.size()) + " devices not reset";
  return text;
}

void Stub::check_end() {
  const std::string text = leftovers();
  if (!text.empty()) break_rule(kDestroyedAtEnd, "alive at aclFinalize: " + text);
}

namespace {
thread_local std::string recent_message;
thread_local std::string returned_message;
}  // namespace

acl::aclError fail(acl::aclError code, const std::string& message) {
  recent_message = "EE9999: " + message;
  return code;
}

bool is_done(const Clock& done, const Task& task) {
  const auto found = done.find(task.stream);
  return found != done.end() && task.number <= found->second;
}

Task Stub::enqueue(Stream& stream, const std::vector<std::pair<Allocation*, bool>>& uses,
                   std::function<acl::aclError()> work) {
  const Task task{&stream, ++stream.tasks};
  for (const auto& [allocation, writes] : uses) {
    for (const Use& other : allocation->uses) {
      if ((writes || other.writes) && other.task.stream != &stream && !is_done(stream.before, other.task)) {
        break_rule(kWorkOrdered, "work of another stream uses the same memory, and no event puts it before this");
      }
    }
    allocation->uses.push_back({task, writes});
    Memory::protect(*allocation);
  }
  const std::lock_guard lock(stream.queue->mutex);
  stream.queue->work.push_back(std::move(work));
  ++stream.queue->left;
  stream.queue->changed.notify_all();
  return task;
}

void Stub::let_go(const Clock& done) {
  for (Allocation& allocation : memory.allocations()) {
    if (std::erase_if(allocation.uses, [&](const Use& use) { return is_done(done, use.task); }) > 0) {
      Memory::protect(allocation);
    }
  }
  const auto covered = [&](const Task& task) { return is_done(done, task); };
  for (const auto& [stream, tasks] : done) {
    stream->synchronised = std::max(stream->synchronised, tasks);
  }
  for (Event* event : events) std::erase_if(event->uses, covered);
  for (const auto& [id, model] : models) std::erase_if(model->queued, covered);
}

}  // namespace ascend_stub

namespace posefix::runtime::ascend {

const char* aclGetRecentErrMsg() {
  ascend_stub::returned_message.swap(ascend_stub::recent_message);
  ascend_stub::recent_message.clear();
  return ascend_stub::returned_message.empty() ? nullptr : ascend_stub::returned_message.c_str();
}

aclError aclrtCreateStream(aclrtStream* stream) {
  ascend_stub::Stub& stub = ascend_stub::Stub::instance();
  const std::lock_guard lock(stub.mutex);
  ascend_stub::Context& context = stub.require_context("aclrtCreateStream");
  auto* created = stub.create<ascend_stub::Stream>(ascend_stub::Kind::kStream);
  created->context = &context;
  std::thread(ascend_stub::work_off, created->queue).detach();
  *stream = created;
  return 0;
}

}  // namespace posefix::runtime::ascend
