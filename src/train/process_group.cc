#include "train/process_group.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "base/module.h"

namespace posefix::train {
namespace {

template <typename StoreOptions>
void use_plain_sockets(StoreOptions& options) {
  // libuv's server is not in every build of LibTorch 2; 1.x has none.
  if constexpr (requires { options.useLibUV; }) options.useLibUV = false;
}

// This machine's address on the way to `host`: a connected datagram socket has it, and nothing is sent.
std::string own_address_towards(const std::string& host, int64_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0) {
    throw failed("{}: {} (the address of rank 0; MASTER_ADDR sets it)", host, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  std::array<char, NI_MAXHOST> text{};
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    const int socket = ::socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    const bool good = socket >= 0 && ::connect(socket, entry->ai_addr, entry->ai_addrlen) == 0 &&
                      ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text.data(), text.size(), nullptr, 0,
                                    NI_NUMERICHOST) == 0;
    if (socket >= 0) ::close(socket);
    if (good) return text.data();
  }
  throw failed("{}: no way to it from this machine (the address of rank 0; MASTER_ADDR sets it)", host);
}

std::shared_ptr<gloo::transport::Device> gloo_device(const Place& place) {
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  const std::string own = own_address_towards(place.address, place.port);
  const bool loopback = own.starts_with("127.") || own == "::1";
  if (loopback && place.local_world < place.world && place.rank == 0 && place.address != "127.0.0.1" &&
      place.address != "localhost") {
    throw bad_input(
        "{} is {} on rank 0's own machine, where the others cannot reach it; set GLOO_SOCKET_IFNAME to the network "
        "interface (ip addr lists them) or MASTER_ADDR to an outside address",
        place.address, own);
  }
  return c10d::ProcessGroupGloo::createDeviceForHostname(own);
}

}  // namespace

StorePtr connect_store(const Place& place, bool serve, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(place.port);
  options.isServer = serve;
  options.waitWorkers = false;
  options.timeout = timeout;
  use_plain_sockets(options);
  return c10::make_intrusive<c10d::TCPStore>(place.address, options);
}

ProcessGroupPtr make_gloo_group(const StorePtr& store, const Place& place, std::chrono::milliseconds timeout) {
  const auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(gloo_device(place));
  const StorePtr own_keys = c10::make_intrusive<c10d::PrefixStore>("gloo", store);
  return c10::make_intrusive<c10d::ProcessGroupGloo>(own_keys, static_cast<int>(place.rank),
                                                     static_cast<int>(place.world), options);
}

ProcessGroupPtr make_group_of_library(const std::string& library, const StorePtr& store, const Place& place,
                                      std::chrono::milliseconds timeout) {
  auto* make = reinterpret_cast<MakeProcessGroup*>(
      load_from_module(library, kMakeProcessGroup,
                       "it connects the processes of this device; docs/distributed.md says how it is built"));
  const StorePtr own_keys = c10::make_intrusive<c10d::PrefixStore>("device", store);
  ProcessGroupPtr group;
  make(own_keys, static_cast<int>(place.rank), static_cast<int>(place.world), timeout, &group);
  return group;
}

}  // namespace posefix::train
