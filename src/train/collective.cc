#include "train/collective.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/process_group.h"
#include "train/roll_call.h"

namespace posefix::train {

struct Collective::Connection {
  StorePtr store;
  std::unique_ptr<RollCall> roll_call;  // after the store that rank 0 keeps
  ProcessGroupPtr control;              // Gloo
  ProcessGroupPtr device;               // of tensors; the same as `control` on the CPU
  std::vector<std::pair<at::Tensor, c10::intrusive_ptr<c10d::Work>>> started;
};

namespace {

using std::chrono::milliseconds;

std::string here_key(int64_t rank) { return fmt::format("here/{}", rank); }

void wait_for_all(c10d::Store& store, const Place& place, milliseconds timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    throw_if_interrupted();
    std::vector<int64_t> missing;
    for (int64_t rank = 0; rank < place.world; ++rank) {
      if (!store.check({here_key(rank)})) missing.push_back(rank);
    }
    if (missing.empty()) return;
    if (std::chrono::steady_clock::now() > until) {
      throw failed("rank {} did not come to {}:{} within {} s; {} ranks were expected", fmt::join(missing, ", "),
                   place.address, place.port, std::chrono::duration_cast<std::chrono::seconds>(timeout).count(),
                   place.world);
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
}

StorePtr connect(const Place& place, bool serve, milliseconds timeout) {
  try {
    return connect_store(place, serve, timeout);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    const std::string first_line = what.substr(0, what.find('\n'));
    if (serve) {
      throw failed("rank 0 cannot listen at {}:{}: {}; MASTER_PORT chooses another port", place.address, place.port,
                   first_line);
    }
    throw failed("rank {} cannot reach rank 0 at {}:{}: {}", place.rank, place.address, place.port, first_line);
  }
}

}  // namespace

Collective::Collective() = default;

Collective::Collective(const Place& place, milliseconds timeout, const std::string& device_library) : place_(place) {
  if (place.world == 1) return;
  connection_ = std::make_unique<Connection>();
  Connection& c = *connection_;
  c.store = connect(place, place.rank == 0, timeout);
  try {
    c.store->set(here_key(place.rank), std::vector<uint8_t>{1});
    wait_for_all(*c.store, place, timeout);
    c.control = make_gloo_group(c.store, place, timeout);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw failed("rank {}: cannot connect with the other ranks: {}", place.rank, error.what());
  }
  c.roll_call = std::make_unique<RollCall>(connect(place, false, timeout), connect(place, false, timeout), place.rank,
                                           place.world, timeout);
  c.device = c.control;
  if (device_library.empty()) return;
  try {
    c.device = make_group_of_library(device_library, c.store, place, timeout);
  } catch (const std::exception& error) {
    leave_with(error.what());
    throw;
  }
}

Collective::~Collective() = default;

template <typename Action>
void Collective::meet(const Action& action) {
  connection_->roll_call->enter();
  try {
    action();
  } catch (const std::exception& error) {
    throw failed("{}", connection_->roll_call->verdict(error.what()));
  }
}

void Collective::all_reduce(const at::Tensor& values) {
  if (!connection_) return;
  PFX_CHECK(values.is_contiguous());
  meet([&] {
    std::vector<at::Tensor> list{values};
    (values.is_cpu() ? connection_->control : connection_->device)->allreduce(list)->wait();
  });
}

void Collective::broadcast(const at::Tensor& values) {
  if (!connection_) return;
  PFX_CHECK(values.is_contiguous());
  meet([&] {
    std::vector<at::Tensor> list{values};
    (values.is_cpu() ? connection_->control : connection_->device)->broadcast(list)->wait();
  });
}

at::Tensor Collective::gather(const at::Tensor& values) {
  const c10::NoGradGuard no_grad;
  at::Tensor rows = at::zeros({place_.world, values.numel()}, values.options());
  rows.select(0, place_.rank).copy_(values);
  all_reduce(rows);  // adds zeros: exact
  return rows;
}

void Collective::start_all_reduce(const at::Tensor& values) {
  if (!connection_) return;
  PFX_CHECK(values.is_contiguous());
  meet([&] {
    std::vector<at::Tensor> list{values};
    connection_->started.emplace_back(values,
                                      (values.is_cpu() ? connection_->control : connection_->device)->allreduce(list));
  });
}

void Collective::finish() {
  if (!connection_) return;
  meet([&] {
    for (const auto& [values, work] : connection_->started) work->wait();
  });
  connection_->started.clear();
}

std::vector<double> Collective::sum(std::vector<double> values) {
  if (!connection_) return values;
  values.push_back(0);  // so that there is something to send
  const at::Tensor tensor =
      at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(at::kDouble));
  all_reduce(tensor);
  values.pop_back();
  return values;
}

bool Collective::any(bool mine) { return sum({mine ? 1.0 : 0.0}).front() > 0; }

void Collective::check_same(const std::string& what, const std::string& text) {
  if (!connection_) return;
  const std::string key = "same/" + what;
  std::string first;
  meet([&] {
    if (place_.rank == 0) connection_->store->set(key, std::vector<uint8_t>(text.begin(), text.end()));
    const std::vector<uint8_t> stored = connection_->store->get(key);
    first.assign(stored.begin(), stored.end());
  });
  const bool differs = first != text;
  if (differs) {
    leave_with(fmt::format("its {} is another than rank 0's", what));
    throw bad_input("rank {}: its {} is another than rank 0's; start all ranks with the same files and options",
                    place_.rank, what);
  }
}

void Collective::leave_with(const std::string& error) {
  if (connection_ && connection_->roll_call) connection_->roll_call->leave_with(error.substr(0, error.find('\n')));
}

}  // namespace posefix::train
