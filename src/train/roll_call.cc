#include "train/roll_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <vector>

namespace posefix::train {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kBeat{250};
constexpr milliseconds kLeastPatience{1000};
constexpr milliseconds kMostPatience{4000};
constexpr const char* kCause = "cause";

std::string alive_key(int64_t rank) { return fmt::format("alive/{}", rank); }
std::string left_key(int64_t rank) { return fmt::format("left/{}", rank); }

std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string text(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

double seconds(milliseconds time) { return static_cast<double>(time.count()) / 1000; }

struct Sign {
  int64_t beat = 0;     // grows while the process lives
  int64_t entered = 0;  // meetings
  bool left = false;
  std::string error;  // with which it left; "" for a verdict about somebody else
};

Sign read_sign(c10d::Store& store, int64_t rank) {
  Sign sign;
  if (store.check({alive_key(rank)})) {
    std::istringstream(text(store.get(alive_key(rank)))) >> sign.beat >> sign.entered;
  }
  sign.left = store.check({left_key(rank)});
  if (sign.left) sign.error = text(store.get(left_key(rank))).substr(1);
  return sign;
}

// What a verdict needs, by value: the thread that asks the store may outlive the roll call when the store hangs.
struct Question {
  StorePtr store;
  int64_t rank;
  int64_t world;
  int64_t entered;  // meetings of this process
  milliseconds timeout;
  milliseconds patience;
  std::string what;
};

// Ranks but the asking one that gave no new sign of life within the patience; `error` is set when one left with it.
std::vector<int64_t> silent_ranks(const Question& q, std::string& error) {
  std::vector<int64_t> beats;
  for (int64_t rank = 0; rank < q.world; ++rank) beats.push_back(read_sign(*q.store, rank).beat);
  const auto until = steady_clock::now() + q.patience;
  for (;;) {
    std::vector<int64_t> silent;
    for (int64_t rank = 0; rank < q.world; ++rank) {
      if (rank == q.rank) continue;
      const Sign now = read_sign(*q.store, rank);
      if (!now.error.empty()) error = fmt::format("rank {} ended: {}", rank, now.error);
      if (!now.left && now.beat == beats[static_cast<size_t>(rank)]) silent.push_back(rank);
    }
    if (silent.empty() || !error.empty() || steady_clock::now() > until) return silent;
    std::this_thread::sleep_for(kBeat / 2);
  }
}

std::string find_cause(const Question& q) {
  std::string error;
  const std::vector<int64_t> silent = silent_ranks(q, error);
  if (!error.empty()) return error;
  if (!silent.empty()) {
    return fmt::format("rank {}: no sign of life for {} s; it was killed or stopped, or its machine is out of reach",
                       fmt::join(silent, ", "), seconds(q.patience));
  }
  std::vector<int64_t> late;
  for (int64_t rank = 0; rank < q.world; ++rank) {
    const Sign sign = read_sign(*q.store, rank);
    if (rank != q.rank && !sign.left && sign.entered < q.entered) late.push_back(rank);
  }
  if (!late.empty()) {
    return fmt::format(
        "rank {}: lives, but did not come to the others within {} s; it is stuck or very slow (train.timeout_s is the "
        "limit)",
        fmt::join(late, ", "), seconds(q.timeout));
  }
  return fmt::format("all ranks live, but the connection between them broke: {}", q.what);
}

// The first verdict stands.
std::string shared_cause(const Question& q) {
  if (q.store->check({kCause})) return text(q.store->get(kCause));
  return text(q.store->compareSet(kCause, {}, bytes(find_cause(q))));
}

// Until every other rank has left or shows no life, at most `limit`.
void wait_for_readers(c10d::Store& store, int64_t world, milliseconds limit) {
  const auto until = steady_clock::now() + limit;
  std::vector<int64_t> beats(static_cast<size_t>(world), -1);
  std::vector<steady_clock::time_point> seen(static_cast<size_t>(world));
  for (bool reading = true; reading && steady_clock::now() < until; std::this_thread::sleep_for(kBeat / 2)) {
    reading = false;
    for (int64_t rank = 1; rank < world; ++rank) {
      const auto i = static_cast<size_t>(rank);
      const Sign sign = read_sign(store, rank);
      if (sign.beat != beats[i]) {
        beats[i] = sign.beat;
        seen[i] = steady_clock::now();
      }
      reading = reading || (!sign.left && steady_clock::now() - seen[i] < kLeastPatience);
    }
  }
}

struct Answer {
  std::mutex mutex;
  std::condition_variable ready;
  bool given = false;
  std::string text;  // "": the store cannot be reached
};

void ask(const Question& question, Answer& answer) {
  std::string found;
  try {
    found = shared_cause(question);
  } catch (const std::exception&) {
    found.clear();
  }
  const std::scoped_lock lock(answer.mutex);
  answer.text = found;
  answer.given = true;
  answer.ready.notify_all();
}

}  // namespace

RollCall::RollCall(StorePtr writing, StorePtr reading, int64_t rank, int64_t world, milliseconds timeout)
    : writing_(std::move(writing)),
      reading_(std::move(reading)),
      rank_(rank),
      world_(world),
      timeout_(timeout),
      patience_(std::clamp(timeout / 4, kLeastPatience, kMostPatience)),
      thread_([this] { beat(); }) {}

RollCall::~RollCall() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (!broken_ || unreachable_) return;
  try {
    if (!reading_->check({left_key(rank_)})) reading_->set(left_key(rank_), bytes(" "));
    if (rank_ == 0) wait_for_readers(*reading_, world_, patience_ * 2);
  } catch (const std::exception&) {
    return;  // the store is gone, and with it everybody who could read it
  }
}

void RollCall::beat() {
  std::unique_lock lock(mutex_);
  for (int64_t beat = 1; !stop_; ++beat) {
    lock.unlock();
    try {
      writing_->set(alive_key(rank_), bytes(fmt::format("{} {}", beat, entered_.load())));
    } catch (const std::exception&) {
      return;  // the store is gone: this process will see it at the next meeting
    }
    lock.lock();
    wake_.wait_for(lock, kBeat, [this] { return stop_; });
  }
}

void RollCall::leave_with(const std::string& error) {
  if (broken_) return;  // the verdict was about somebody else
  broken_ = true;
  try {
    reading_->set(left_key(rank_), bytes(" " + (error.empty() ? "unknown error" : error)));
  } catch (const std::exception&) {
    unreachable_ = true;
  }
}

std::string RollCall::verdict(const std::string& what) {
  broken_ = true;
  const std::string first_line = what.substr(0, what.find('\n'));
  const Question question{reading_, rank_, world_, entered_.load(), timeout_, patience_, first_line};
  const auto answer = std::make_shared<Answer>();
  std::thread([question, answer] { ask(question, *answer); }).detach();
  std::unique_lock lock(answer->mutex);
  const bool given = answer->ready.wait_for(lock, patience_ * 2 + kLeastPatience, [&answer] { return answer->given; });
  if (given && !answer->text.empty()) return answer->text;
  unreachable_ = true;
  return fmt::format(
      "rank 0: keeps the job's store and {}; it was killed or stopped, or its machine is out of reach ({})",
      given ? "cannot be reached" : "does not answer", first_line);
}

}  // namespace posefix::train
