// Memory that knows who may touch it.
//
// Every allocation is mapped twice: the caller's view, whose protection follows the rules, and the stub's own view,
// which always works. A touch that a rule forbids is a segmentation fault, which the handler turns into the rule's
// name. Freed memory keeps its addresses, so that a late touch is caught as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

namespace ascend_stub {

enum class MemoryKind { kDevice, kPinned };

struct Stream;

// Queued work that was not synchronised: the nth of a stream.
struct Task {
  Stream* stream = nullptr;
  uint64_t number = 0;
};

struct Use {
  Task task;
  bool writes = false;
};

struct Allocation {
  char* view = nullptr;  // the caller's
  char* own = nullptr;   // the stub's
  size_t bytes = 0;
  MemoryKind kind = MemoryKind::kDevice;
  bool is_alive = true;
  bool is_hidden = false;  // device memory in host run mode
  std::vector<Use> uses;   // by queued work; while it reads the caller may only read, while it writes not touch it
  int protection = -1;     // of the view; -1: none chosen yet
  int models = 0;          // loaded ones that have it as weights or work memory
  bool is_in_use() const { return !uses.empty(); }
};

class Memory {
 public:
  Memory();
  Allocation* allocate(size_t bytes, MemoryKind kind, bool is_hidden);
  void release(Allocation& allocation);
  // The allocation that holds `pointer`, alive or not; nullptr if there is none.
  Allocation* find(const void* pointer);
  // After `uses` changed.
  static void protect(Allocation& allocation);
  std::list<Allocation>& allocations() { return allocations_; }
  std::string alive() const;  // "2 device, 1 pinned", or ""
  // The stub's view of the caller's pointer.
  static char* own(const Allocation& allocation, const void* pointer) {
    return allocation.own + (static_cast<const char*>(pointer) - allocation.view);
  }

 private:
  std::list<Allocation> allocations_;
};

}  // namespace ascend_stub
