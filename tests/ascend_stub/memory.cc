#include "memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "rules.h"

namespace ascend_stub {
namespace {

Memory* the_memory = nullptr;  // for the handler
struct sigaction previous_action;

size_t page_rounded(size_t bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// The process is about to end: allocating and printing in a handler are harmless here.
void on_segmentation_fault(int signal, siginfo_t* info, void*) {
  const Allocation* allocation = the_memory->find(info->si_addr);
  if (allocation == nullptr) {
    ::sigaction(signal, &previous_action, nullptr);  // not ours: the fault is raised again
    return;
  }
  if (!allocation->is_alive) break_rule(kUseAfterFree, "freed memory was touched");
  if (allocation->is_in_use()) break_rule(kHostBeforeSync, "queued work still uses the memory that was touched");
  break_rule(kDeviceFromHost, "device memory was touched by the host");
}

}  // namespace

Memory::Memory() {
  the_memory = this;
  struct sigaction action {};
  action.sa_sigaction = &on_segmentation_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGSEGV, &action, &previous_action);
}

Allocation* Memory::allocate(size_t bytes, MemoryKind kind, bool is_hidden) {
  const size_t size = page_rounded(bytes);
  const int file = ::memfd_create("ascend_stub", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(size)) != 0) return nullptr;
  void* view = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  void* own = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (view == MAP_FAILED || own == MAP_FAILED) return nullptr;
  std::memset(own, 0xFF, size);  // NaN in every float type
  Allocation& allocation = allocations_.emplace_back();
  allocation.view = static_cast<char*>(view);
  allocation.own = static_cast<char*>(own);
  allocation.bytes = bytes;
  allocation.kind = kind;
  allocation.is_hidden = is_hidden;
  protect(allocation);
  return &allocation;
}

void Memory::release(Allocation& allocation) {
  allocation.is_alive = false;
  ::munmap(allocation.own, page_rounded(allocation.bytes));
  protect(allocation);
  ::madvise(allocation.view, page_rounded(allocation.bytes), MADV_DONTNEED);
}

Allocation* Memory::find(const void* pointer) {
  const char* address = static_cast<const char*>(pointer);
  for (Allocation& allocation : allocations_) {
    if (address >= allocation.view && address < allocation.view + page_rounded(allocation.bytes)) return &allocation;
  }
  return nullptr;
}

void Memory::protect(Allocation& allocation) {
  int protection = PROT_READ | PROT_WRITE;
  if (allocation.is_in_use()) protection = PROT_READ;
  const bool is_written =
      std::any_of(allocation.uses.begin(), allocation.uses.end(), [](const Use& use) { return use.writes; });
  if (!allocation.is_alive || allocation.is_hidden || is_written) protection = PROT_NONE;
  // A run changes little, and the time for it would count as the device's.
  if (protection == allocation.protection) return;
  allocation.protection = protection;
  ::mprotect(allocation.view, page_rounded(allocation.bytes), protection);
}

std::string Memory::alive() const {
  int device = 0;
  int pinned = 0;
  for (const Allocation& allocation : allocations_) {
    if (allocation.is_alive) ++(allocation.kind == MemoryKind::kDevice ? device : pinned);
  }
  if (device + pinned == 0) return "";
  return std::to_string(device) + " device, " + std::to_string(pinned) + " pinned allocations";
}

}  // namespace ascend_stub
