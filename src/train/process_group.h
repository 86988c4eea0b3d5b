// c10d's process groups behind one function, whatever LibTorch's version calls their base class.
//
// Gloo (CPU) is part of LibTorch. An accelerator's group (NCCL, HCCL) lives in a library of its own that is loaded
// when the device asks for it, so that this program builds without the accelerator's headers: it exports
// kMakeProcessGroup with the type MakeProcessGroup. torchgraph/device.h names the library of a device.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <type_traits>

#include "train/launch_environment.h"

namespace posefix::train {

// LibTorch 1.x derives Gloo from ProcessGroup, 2.x from Backend.
using ProcessGroup =
    std::conditional_t<std::is_base_of_v<c10d::Backend, c10d::ProcessGroupGloo>, c10d::Backend, c10d::ProcessGroup>;
using ProcessGroupPtr = c10::intrusive_ptr<ProcessGroup>;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

// Puts the group of rank `rank` of `world` into *group. Throws what LibTorch throws.
using MakeProcessGroup = void(const StorePtr& store, int rank, int world, std::chrono::milliseconds timeout,
                              ProcessGroupPtr* group);
inline constexpr const char* kMakeProcessGroup = "posefix_make_process_group";

// A client of the job's store; with `serve`, also the store itself, at place.port.
StorePtr connect_store(const Place& place, bool serve, std::chrono::milliseconds timeout);

// Talks through the interface named by GLOO_SOCKET_IFNAME, else the one on the way to rank 0. Error (bad input) when
// that is the loopback although the job has several machines.
ProcessGroupPtr make_gloo_group(const StorePtr& store, const Place& place, std::chrono::milliseconds timeout);

// `library`: see load_from_module().
ProcessGroupPtr make_group_of_library(const std::string& library, const StorePtr& store, const Place& place,
                                      std::chrono::milliseconds timeout);

}  // namespace posefix::train
