// State of the stub: one process-wide object behind the C functions of acl_*.cc.
//
// Environment:
//   ASCEND_STUB_RUN_MODE=device     the program runs on the device's CPU (default: host)
//   ASCEND_STUB_SOC=Ascend310P3     what aclrtGetSocName says
//   ASCEND_STUB_DEVICES=1           number of devices
//   ASCEND_STUB_DEVICE_BYTES=N      memory of each device, for what is allocated and for loaded models (default: any)
//   ASCEND_STUB_MS_PER_BATCH=20     a run takes this long at least
//   ASCEND_STUB_COMPUTE=0           answers are zeros, inputs unread: takes none of the host's time, for measurements
//   ASCEND_STUB_FAULT=WHAT[:N]      the Nth (default first) call fails: init, set_device, malloc, malloc_host,
//                                   query_size, load;
//                                   execute (507011 when synchronised), hang (never ends), lost (507010 from then on)
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "memory.h"
#include "om_file.h"
#include "onnx_model.h"
#include "rules.h"
#include "runtime/backends/ascend/acl.h"

namespace acl = posefix::runtime::ascend;

namespace ascend_stub {

struct Context {
  int32_t device = 0;
};

constexpr size_t kGearInputBytes = 4;

struct LoadedModel {
  uint32_t id = 0;
  Context* context = nullptr;
  OmFile om;
  GraphDef graph;                   // of a GraphDef
  std::shared_ptr<OnnxModel> onnx;  // of an ONNX file
  std::vector<Task> queued;         // runs that were not synchronised
  Allocation* work = nullptr;       // the caller's; null: the driver's own
  Allocation* weights = nullptr;    //
  size_t own_bytes = 0;             // that the driver took for it

  // The input that chooses the gear stands after the model's own.
  bool is_gear_input(size_t index) const { return !om.gears.empty() && index == om.inputs.size(); }
  size_t input_count() const { return om.inputs.size() + (om.gears.empty() ? 0 : 1); }
};

// Of each stream the number of its tasks that are done before something else.
using Clock = std::map<Stream*, uint64_t>;

// A queue of work and the thread that does it. The thread is detached: one that hangs must not keep the process.
struct Stream {
  struct Queue {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<acl::aclError()>> work;
    size_t left = 0;  // queued and running
    acl::aclError error = 0;
    bool stop = false;
  };
  Context* context = nullptr;
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
  uint64_t tasks = 0;         // queued so far
  uint64_t synchronised = 0;  // of them
  Clock before;               // tasks of other streams that events put before whatever is queued next
};

// Recorded once. What waits for it in another stream comes after what stood in its own.
struct Event {
  Context* context = nullptr;
  bool is_recorded = false;
  Clock before;
  std::promise<void> reached;
  std::shared_future<void> is_reached = reached.get_future().share();
  std::vector<Task> uses;  // records and waits that were not synchronised
};

struct DataBuffer {
  void* memory = nullptr;
  size_t bytes = 0;
};

struct DataSet {
  std::vector<DataBuffer*> buffers;
  uint64_t gear = 0;  // set and not used yet
};

struct Description {
  const LoadedModel* model = nullptr;
};

enum class Kind { kContext, kStream, kEvent, kDescription, kDataSet, kDataBuffer };

class Stub {
 public:
  static Stub& instance();

  void require_init(const char* call) const;
  // The calling thread's context.
  Context& require_context(const char* call) const;
  // The loaded model of that id, which must be of the calling thread's context.
  LoadedModel& require_model(uint32_t id, const char* call) const;
  // Whether the fault `what` is due now, counting this call.
  bool is_fault_due(const std::string& what);

  template <typename T>
  T* create(Kind kind) {
    auto* object = new T();
    handles_[object] = {kind, true};
    return object;
  }
  // The object behind a handle that must be alive and of that kind.
  template <typename T>
  T& get(const void* handle, Kind kind, const char* call) {
    check_handle(handle, kind, call);
    return *static_cast<T*>(const_cast<void*>(handle));
  }
  // Kept, so that its address is not given out again and a late use is caught.
  void destroy(const void* handle) { handles_.at(handle).is_alive = false; }

  // Queues work of a stream that uses memory. Of two uses of which one writes, one must come after the other.
  Task enqueue(Stream& stream, const std::vector<std::pair<Allocation*, bool>>& uses,
               std::function<acl::aclError()> work);
  // The tasks are done: the caller may touch their memory again.
  void let_go(const Clock& done);

  void configure();  // from the environment; aclInit calls it
  std::string leftovers() const;
  void check_end();  // break_rule unless everything was given back

  std::mutex mutex;
  bool is_initialised = false;
  bool is_device_mode = false;
  std::atomic<bool> is_broken = false;  // hung or lost: nothing can be given back
  std::string soc;
  int64_t devices = 1;
  size_t device_bytes = SIZE_MAX;  // of all devices together
  size_t used_bytes = 0;           // of them
  int64_t ms_per_batch = 0;
  bool computes = true;
  std::set<int32_t> set_devices;
  Memory memory;
  std::set<Event*> events;
  std::map<uint32_t, std::unique_ptr<LoadedModel>> models;
  std::vector<std::unique_ptr<LoadedModel>> unloaded_models;

 private:
  Stub() = default;
  void check_handle(const void* handle, Kind kind, const char* call) const;
  struct Handle {
    Kind kind;
    bool is_alive;
  };
  std::map<const void*, Handle> handles_;
  std::string fault_;
  int64_t fault_at_ = 1;
  std::map<std::string, int64_t> calls_;
};

// Per thread.
extern thread_local Context* current_context;
// Of a stream's thread: since when the next run was only waiting for another one.
extern thread_local std::optional<std::chrono::steady_clock::time_point> ready_since;
// Keeps the message for aclGetRecentErrMsg and returns the code.
acl::aclError fail(acl::aclError code, const std::string& message);
// Whether `done` covers the task.
bool is_done(const Clock& done, const Task& task);

}  // namespace ascend_stub
