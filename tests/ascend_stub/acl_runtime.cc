// Device, context, stream and memory functions of AscendCL, strict.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

namespace {

// The allocation behind a pointer that must be device memory with room for `bytes`.
Allocation& device_memory(Stub& stub, const void* pointer, size_t bytes, const char* call) {
  Allocation* allocation = stub.memory.find(pointer);
  if (allocation == nullptr || allocation->kind != MemoryKind::kDevice) {
    break_rule(kDevicePointer, std::string(call) + ": the memory is not from aclrtMalloc");
  }
  if (!allocation->is_alive) break_rule(kUseAfterFree, std::string(call) + ": the device memory was freed");
  if (allocation->models > 0) break_rule(kModelMemory, std::string(call) + ": the memory is a loaded model's own");
  if (Memory::own(*allocation, pointer) + bytes > allocation->own + allocation->bytes) {
    break_rule(kCopyBounds, std::string(call) + ": beyond the device memory");
  }
  return *allocation;
}

Allocation& pinned_memory(Stub& stub, const void* pointer, size_t bytes, const char* call) {
  Allocation* allocation = stub.memory.find(pointer);
  if (allocation == nullptr || allocation->kind != MemoryKind::kPinned) {
    break_rule(kPinnedPointer, std::string(call) + ": an asynchronous copy needs memory from aclrtMallocHost");
  }
  if (!allocation->is_alive) break_rule(kUseAfterFree, std::string(call) + ": the host memory was freed");
  if (Memory::own(*allocation, pointer) + bytes > allocation->own + allocation->bytes) {
    break_rule(kCopyBounds, std::string(call) + ": beyond the host memory");
  }
  return *allocation;
}

aclError allocate(void** memory, size_t bytes, MemoryKind kind, const char* call, const char* fault) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_context(call);
  if (kind == MemoryKind::kPinned && stub.is_device_mode)
    break_rule(kRunModeCopy, "aclrtMallocHost on the device's CPU");
  if (bytes == 0) return fail(100000, "size 0");
  const bool is_full = kind == MemoryKind::kDevice && bytes > stub.device_bytes - stub.used_bytes;
  if (is_full || stub.is_fault_due(fault)) return fail(207001, "alloc memory failed, out of memory");
  const Allocation* allocation = stub.memory.allocate(bytes, kind, kind == MemoryKind::kDevice && !stub.is_device_mode);
  if (allocation == nullptr) return fail(207001, "the stub cannot map memory");
  if (kind == MemoryKind::kDevice) stub.used_bytes += bytes;
  *memory = allocation->view;
  return 0;
}

aclError release(void* memory, MemoryKind kind, const char* call) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_context(call);
  Allocation* allocation = stub.memory.find(memory);
  if (allocation == nullptr || allocation->kind != kind || allocation->view != memory) {
    break_rule(kKnownHandle, std::string(call) + ": not an allocation of its kind");
  }
  if (!allocation->is_alive) break_rule(kUseAfterFree, std::string(call) + ": freed twice");
  if (allocation->is_in_use()) break_rule(kDestroyIdle, std::string(call) + ": queued work uses the memory");
  if (allocation->models > 0) break_rule(kDestroyIdle, std::string(call) + ": the memory is a loaded model's");
  if (kind == MemoryKind::kDevice) stub.used_bytes -= allocation->bytes;
  stub.memory.release(*allocation);
  return 0;
}

Stream& stream_here(Stub& stub, aclrtStream handle, const char* call) {
  Context& context = stub.require_context(call);
  auto& stream = stub.get<Stream>(handle, Kind::kStream, call);
  if (stream.context != &context) break_rule(kStreamContext, std::string(call) + ": the stream is of another context");
  return stream;
}

Event& event_here(Stub& stub, aclrtEvent handle, const char* call) {
  Context& context = stub.require_context(call);
  auto& event = stub.get<Event>(handle, Kind::kEvent, call);
  if (event.context != &context) break_rule(kStreamContext, std::string(call) + ": the event is of another context");
  return event;
}

// All that was queued on the stream, and what events put before it.
Clock everything(Stream& stream) {
  Clock clock = stream.before;
  clock[&stream] = stream.tasks;
  return clock;
}

aclError synchronize(aclrtStream handle, int32_t timeout_ms, const char* call) {
  Stub& stub = Stub::instance();
  std::unique_lock lock(stub.mutex);
  Stream& stream = stream_here(stub, handle, call);
  const std::shared_ptr<Stream::Queue> queue = stream.queue;
  const Clock done = everything(stream);
  lock.unlock();
  std::unique_lock queue_lock(queue->mutex);
  const auto is_done = [&] { return queue->left == 0; };
  if (timeout_ms < 0) {
    queue->changed.wait(queue_lock, is_done);
  } else if (!queue->changed.wait_for(queue_lock, std::chrono::milliseconds(timeout_ms), is_done)) {
    stub.is_broken = true;  // what is still running can be neither stopped nor given back
    return fail(kAclStreamTimeout, "stream synchronize timeout");
  }
  const aclError error = std::exchange(queue->error, 0);
  queue_lock.unlock();
  lock.lock();
  stub.let_go(done);
  if (error == kAclModelExecute) return fail(error, "model execute failed, model id may be 1");
  if (error != 0) return fail(error, "the device does not answer");
  return 0;
}

}  // namespace

aclError aclInit(const char*) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  if (stub.is_initialised) break_rule(kInitOnce, "aclInit while AscendCL is initialised");
  stub.configure();
  if (stub.is_fault_due("init")) return fail(500000, "the driver is not loaded");
  stub.is_initialised = true;
  return 0;
}

aclError aclFinalize() {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclFinalize");
  if (!stub.is_broken) stub.check_end();
  stub.is_initialised = false;
  return 0;
}

const char* aclrtGetSocName() { return Stub::instance().soc.c_str(); }

aclError aclrtGetDeviceCount(uint32_t* count) {
  Stub& stub = Stub::instance();
  stub.require_init("aclrtGetDeviceCount");
  *count = static_cast<uint32_t>(stub.devices);
  return 0;
}

aclError aclrtSetDevice(int32_t device) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclrtSetDevice");
  if (device < 0 || device >= stub.devices) return fail(107001, "invalid device id");
  if (stub.is_fault_due("set_device")) return fail(207006, "open device failed, no permission");
  stub.set_devices.insert(device);
  return 0;
}

aclError aclrtResetDevice(int32_t device) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclrtResetDevice");
  if (stub.set_devices.erase(device) == 0) break_rule(kDeviceSet, "aclrtResetDevice of a device that was not set");
  return 0;
}

aclError aclrtCreateContext(aclrtContext* context, int32_t device) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclrtCreateContext");
  if (!stub.set_devices.contains(device)) break_rule(kDeviceSet, "aclrtCreateContext before aclrtSetDevice");
  auto* created = stub.create<Context>(Kind::kContext);
  created->device = device;
  current_context = created;
  *context = created;
  return 0;
}

aclError aclrtDestroyContext(aclrtContext context) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclrtDestroyContext");
  stub.get<Context>(context, Kind::kContext, "aclrtDestroyContext");
  stub.destroy(context);
  if (current_context == context) current_context = nullptr;
  return 0;
}

aclError aclrtSetCurrentContext(aclrtContext context) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclrtSetCurrentContext");
  current_context = &stub.get<Context>(context, Kind::kContext, "aclrtSetCurrentContext");
  return 0;
}

aclError aclrtGetRunMode(aclrtRunMode* mode) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_context("aclrtGetRunMode");
  *mode = stub.is_device_mode ? ACL_DEVICE : ACL_HOST;
  return 0;
}

aclError aclrtDestroyStream(aclrtStream handle) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Stream& stream = stream_here(stub, handle, "aclrtDestroyStream");
  if (stream.tasks > stream.synchronised) {
    break_rule(kDestroyIdle, "aclrtDestroyStream: its work was not synchronised");
  }
  const std::lock_guard queue_lock(stream.queue->mutex);
  stream.queue->stop = true;
  stream.queue->changed.notify_all();
  stub.destroy(handle);
  return 0;
}

aclError aclrtSynchronizeStream(aclrtStream stream) { return synchronize(stream, -1, "aclrtSynchronizeStream"); }

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout_ms) {
  return synchronize(stream, timeout_ms, "aclrtSynchronizeStreamWithTimeout");
}

aclError aclrtCreateEvent(aclrtEvent* event) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Context& context = stub.require_context("aclrtCreateEvent");
  auto* created = stub.create<Event>(Kind::kEvent);
  created->context = &context;
  stub.events.insert(created);
  *event = created;
  return 0;
}

aclError aclrtDestroyEvent(aclrtEvent handle) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Event& event = event_here(stub, handle, "aclrtDestroyEvent");
  if (!event.uses.empty()) break_rule(kDestroyIdle, "aclrtDestroyEvent: queued work records it or waits for it");
  stub.events.erase(&event);
  stub.destroy(handle);
  return 0;
}

aclError aclrtRecordEvent(aclrtEvent event_handle, aclrtStream stream_handle) {
  constexpr const char* kCall = "aclrtRecordEvent";
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Event& event = event_here(stub, event_handle, kCall);
  Stream& stream = stream_here(stub, stream_handle, kCall);
  if (event.is_recorded) break_rule(kEventOnce, "aclrtRecordEvent: the event was recorded before");
  event.is_recorded = true;
  event.uses.push_back(stub.enqueue(stream, {}, [&event] {
    event.reached.set_value();
    return 0;
  }));
  event.before = everything(stream);
  return 0;
}

aclError aclrtStreamWaitEvent(aclrtStream stream_handle, aclrtEvent event_handle) {
  constexpr const char* kCall = "aclrtStreamWaitEvent";
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Stream& stream = stream_here(stub, stream_handle, kCall);
  Event& event = event_here(stub, event_handle, kCall);
  if (!event.is_recorded) break_rule(kEventRecorded, "aclrtStreamWaitEvent: no stream has recorded the event");
  event.uses.push_back(stub.enqueue(stream, {}, [reached = event.is_reached] {
    ready_since = std::chrono::steady_clock::now();
    reached.wait();
    return 0;
  }));
  for (const auto& [other, tasks] : event.before) {
    uint64_t& before = stream.before[other];
    before = std::max(before, tasks);
  }
  return 0;
}

aclError aclrtMalloc(void** device, size_t bytes, aclrtMemMallocPolicy) {
  return allocate(device, bytes, MemoryKind::kDevice, "aclrtMalloc", "malloc");
}
aclError aclrtFree(void* device) { return release(device, MemoryKind::kDevice, "aclrtFree"); }
aclError aclrtMallocHost(void** host, size_t bytes) {
  return allocate(host, bytes, MemoryKind::kPinned, "aclrtMallocHost", "malloc_host");
}
aclError aclrtFreeHost(void* host) { return release(host, MemoryKind::kPinned, "aclrtFreeHost"); }

aclError aclrtMemcpyAsync(void* to, size_t to_bytes, const void* from, size_t bytes, aclrtMemcpyKind kind,
                          aclrtStream handle) {
  constexpr const char* kCall = "aclrtMemcpyAsync";
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Stream& stream = stream_here(stub, handle, kCall);
  if (kind != ACL_MEMCPY_HOST_TO_DEVICE && kind != ACL_MEMCPY_DEVICE_TO_HOST) return fail(100000, "copy kind");
  if (stub.is_device_mode) break_rule(kRunModeCopy, "a copy between host and device on the device's CPU");
  if (bytes > to_bytes) break_rule(kCopyBounds, "aclrtMemcpyAsync: more bytes than the destination has");
  const bool to_device = kind == ACL_MEMCPY_HOST_TO_DEVICE;
  Allocation& target = to_device ? device_memory(stub, to, to_bytes, kCall) : pinned_memory(stub, to, to_bytes, kCall);
  Allocation& source = to_device ? pinned_memory(stub, from, bytes, kCall) : device_memory(stub, from, bytes, kCall);
  stub.enqueue(stream, {{&target, true}, {&source, false}},
               [to_own = Memory::own(target, to), from_own = Memory::own(source, from), bytes] {
                 std::memcpy(to_own, from_own, bytes);
                 return 0;
               });
  return 0;
}

}  // namespace posefix::runtime::ascend
