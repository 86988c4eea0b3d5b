// Several ranks in one process, a thread each: they meet over Gloo as processes do.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "model/posefix_net.h"
#include "torchgraph/device.h"
#include "train/batch_file.h"
#include "train/collective.h"
#include "train/gradient_buckets.h"
#include "train/loop.h"
#include "train/trainer.h"

namespace posefix::train {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr int64_t kHeight = 64;
constexpr int64_t kWidth = 32;
constexpr int64_t kJoints = 3;

int64_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

// Runs `body` on every rank; what each threw, "" for nothing.
std::vector<std::string> on_ranks(int64_t world, milliseconds timeout,
                                  const std::function<void(const std::shared_ptr<Collective>&)>& body) {
  const int64_t port = free_port();
  std::vector<std::string> errors(static_cast<size_t>(world));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      torchgraph::fix_threads(1);
      try {
        body(std::make_shared<Collective>(Place{rank, world, rank, world, "127.0.0.1", port, "test"}, timeout, ""));
      } catch (const std::exception& error) {
        errors[static_cast<size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

std::vector<std::string> on_ranks(int64_t world, const std::function<void(const std::shared_ptr<Collective>&)>& body) {
  return on_ranks(world, milliseconds(60000), body);
}

void expect_no_error(const std::vector<std::string>& errors) {
  for (const std::string& error : errors) EXPECT_EQ(error, "");
}

TEST(Collective, SumsCopiesAndGathers) {
  expect_no_error(on_ranks(3, [](const std::shared_ptr<Collective>& c) {
    const auto rank = static_cast<double>(c->rank());
    const at::Tensor values = at::full({5}, rank + 1);
    c->all_reduce(values);
    EXPECT_TRUE(at::equal(values, at::full({5}, 6.0)));
    c->start_all_reduce(values);
    c->finish();
    EXPECT_TRUE(at::equal(values, at::full({5}, 18.0)));
    const at::Tensor copied = at::full({2}, rank);
    c->broadcast(copied);
    EXPECT_TRUE(at::equal(copied, at::zeros({2})));
    const at::Tensor rows = c->gather(at::full({2}, rank));
    EXPECT_TRUE(at::equal(rows, at::arange(3).to(at::kFloat).view({3, 1}).expand({3, 2})));
    EXPECT_EQ(c->sum({rank, 1}), (std::vector<double>{3, 3}));
    EXPECT_TRUE(c->any(c->rank() == 2));
    EXPECT_FALSE(c->any(false));
    c->check_same("configuration", "same");
  }));
}

TEST(Collective, AloneNothingHappens) {
  Collective alone;
  const at::Tensor values = at::full({2}, 3.0);
  alone.all_reduce(values);
  alone.start_all_reduce(values);
  alone.finish();
  EXPECT_TRUE(at::equal(values, at::full({2}, 3.0)));
  EXPECT_EQ(alone.gather(values).sizes(), (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(alone.any(true));
}

TEST(Collective, NamesARankThatNeverCame) {
  std::string message;
  try {
    const Collective lonely(Place{0, 2, 0, 2, "127.0.0.1", free_port(), "test"}, milliseconds(1000), "");
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("rank 1 did not come to 127.0.0.1:"));
}

TEST(Collective, NamesARankThatIsStuck) {
  const auto errors = on_ranks(3, milliseconds(2000), [](const std::shared_ptr<Collective>& c) {
    c->barrier();
    if (c->rank() == 1) std::this_thread::sleep_for(milliseconds(6000));
    c->barrier();
  });
  EXPECT_THAT(errors[0], HasSubstr("rank 1: lives, but did not come"));
  EXPECT_EQ(errors[2], errors[0]);  // one verdict
}

TEST(Collective, PassesOnTheErrorThatARankLeftWith) {
  const auto errors = on_ranks(3, [](const std::shared_ptr<Collective>& c) {
    if (c->rank() == 2) {
      c->leave_with("the disk is full");
      return;
    }
    c->barrier();
  });
  EXPECT_EQ(errors[0], "rank 2 ended: the disk is full");
  EXPECT_EQ(errors[1], errors[0]);
}

TEST(Collective, RefusesRanksThatWereStartedDifferently) {
  const auto errors = on_ranks(2, [](const std::shared_ptr<Collective>& c) {
    c->check_same("configuration", c->rank() == 0 ? "a" : "b");
    c->barrier();
  });
  EXPECT_THAT(errors[1], HasSubstr("configuration is another than rank 0's"));
  EXPECT_THAT(errors[0], HasSubstr("rank 1 ended: its configuration"));
}

// The batch of a step, noise pictures with joints at random places.
sample::Batch whole_batch(int64_t step, int64_t size) {
  Rng rng(5, 0, static_cast<uint64_t>(step));
  sample::Batch batch;
  batch.size = size;
  const auto joints = static_cast<size_t>(size * kJoints);
  batch.crops.resize(static_cast<size_t>(size * kHeight * kWidth * 3));
  for (uint8_t& value : batch.crops) value = static_cast<uint8_t>(rng.next_u32());
  batch.pose.resize(joints * 2);
  for (float& value : batch.pose) value = static_cast<float>(rng.uniform(0, kWidth));
  batch.target.resize(joints * 2);
  for (float& value : batch.target) value = static_cast<float>(rng.uniform(0, kWidth));
  batch.valid.assign(joints, 1);
  batch.target_valid = batch.valid;
  batch.target_valid[0] = 0;
  return batch;
}

// A rank's share of it, as sample/loader.h shares it out.
sample::Batch share(const sample::Batch& whole, int64_t rank, int64_t world, int64_t parts) {
  sample::Batch mine;
  mine.size = whole.size / world;
  const int64_t rows = mine.size / parts;
  for (int64_t row = 0; row < mine.size; ++row) {
    const int64_t from = (row / rows * world + rank) * rows + row % rows;
    const auto copy = [&](auto& to, const auto& source) {
      const auto length = static_cast<int64_t>(source.size()) / whole.size;
      to.insert(to.end(), source.begin() + from * length, source.begin() + (from + 1) * length);
    };
    copy(mine.crops, whole.crops);
    copy(mine.pose, whole.pose);
    copy(mine.valid, whole.valid);
    copy(mine.target, whole.target);
    copy(mine.target_valid, whole.target_valid);
  }
  return mine;
}

graph::Graph small_network() {
  model::ModelConfig model;
  model.width = "1/16";
  model.input_size = {kHeight, kWidth};
  return model::build(model, kJoints);
}

TrainConfig recipe() {
  TrainConfig config;
  config.batch_size = 8;
  config.sync_batch_norm = true;
  return config;
}

struct Step {
  at::Tensor weights;  // flat, before it
  LossValues losses;
  at::Tensor gradients;  // flat
};

struct TrainingRun {
  std::vector<Step> steps;
  at::Tensor moving;
};

// `path`: another run, from whose weights every step starts.
TrainingRun train(const TrainConfig& config, int64_t steps, DType dtype, const std::shared_ptr<Collective>& collective,
                  const TrainingRun* path = nullptr) {
  const graph::Graph graph = small_network();
  Trainer trainer(graph, model::initialise(graph, 1 + static_cast<uint64_t>(collective->rank())), config, "cpu", dtype,
                  collective);
  trainer.share_state();  // the ranks began differently
  TrainingRun run;
  for (int64_t i = 0; i < steps; ++i) {
    if (path != nullptr) trainer.network().flat_values().copy_(path->steps.at(static_cast<size_t>(i)).weights);
    const at::Tensor weights = trainer.network().flat_values().clone();
    const sample::Batch whole = whole_batch(i, config.batch_size);
    const LossValues losses =
        trainer.compute_gradients(share(whole, collective->rank(), collective->world(), config.accumulate));
    run.steps.push_back({weights, losses, trainer.network().flat_gradients().clone()});
    trainer.update(config.learning_rate);
  }
  run.moving = trainer.network().moving_statistics().clone();
  return run;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

enum class Start { kOwn, kSame };  // of a step: the weights that the ranks came to, or those that one process came to

// Largest relative difference of a step's gradient, over all ranks, from one process's.
double worst_difference(const TrainConfig& config, int64_t world, int64_t steps, DType dtype,
                        Start start = Start::kOwn) {
  torchgraph::fix_threads(1);
  const TrainingRun alone = train(config, steps, dtype, std::make_shared<Collective>());
  std::vector<TrainingRun> runs(static_cast<size_t>(world));
  expect_no_error(on_ranks(world, [&](const std::shared_ptr<Collective>& c) {
    runs[static_cast<size_t>(c->rank())] = train(config, steps, dtype, c, start == Start::kSame ? &alone : nullptr);
  }));
  double worst = 0;
  for (const TrainingRun& run : runs) {
    for (size_t i = 0; i < alone.steps.size(); ++i) {
      worst = std::max(worst, relative_difference(run.steps.at(i).gradients, alone.steps[i].gradients));
      EXPECT_NEAR(run.steps[i].losses.total(), alone.steps[i].losses.total(), 1e-4 * alone.steps[i].losses.total());
      EXPECT_TRUE(at::equal(run.steps[i].gradients, runs[0].steps[i].gradients));
    }
    EXPECT_LT(relative_difference(run.moving, alone.moving), 1e-5);
    EXPECT_TRUE(at::equal(run.moving, runs[0].moving));
  }
  return worst;
}

// In double along the ranks' own path. In single precision from the same weights at every step, since along their own
// paths two f32 runs part: what rounding changes in a step's weights grows from step to step (docs/distributed.md).
TEST(Distributed, TwoRanksAtBatchFourAreOneAtEight) {
  EXPECT_LT(worst_difference(recipe(), 2, 20, DType::kF64), 1e-8);
  EXPECT_LT(worst_difference(recipe(), 2, 20, DType::kF32, Start::kSame), 1e-5);
}

TEST(Distributed, FourRanksLikewise) {
  EXPECT_LT(worst_difference(recipe(), 4, 20, DType::kF64), 1e-8);
  EXPECT_LT(worst_difference(recipe(), 4, 20, DType::kF32, Start::kSame), 1e-5);
}

TEST(Distributed, AccumulationGroupsTheSameSamples) {
  TrainConfig config = recipe();
  config.accumulate = 2;
  config.clip_norm = 1;
  config.ema_decay = 0.9;
  EXPECT_LT(worst_difference(config, 2, 4, DType::kF64), 1e-8);
}

TEST(Distributed, WithoutSyncTheMovingAveragesAreTheRanksMean) {
  TrainConfig config = recipe();
  config.sync_batch_norm = false;
  config.batch_norm_decay = 0.5;
  config.frozen = {"resnet_v1_50/block1"};
  std::vector<TrainingRun> runs(3);
  config.batch_size = 6;
  expect_no_error(on_ranks(3, [&](const std::shared_ptr<Collective>& c) {
    runs[static_cast<size_t>(c->rank())] = train(config, 1, DType::kF64, c);
  }));
  // One process on each rank's share alone; a frozen layer keeps its bits.
  at::Tensor mean;
  for (int64_t rank = 0; rank < 3; ++rank) {
    const graph::Graph graph = small_network();
    TrainConfig small = config;
    small.batch_size = 2;
    Trainer trainer(graph, model::initialise(graph, 1), small, "cpu", DType::kF64);
    trainer.compute_gradients(share(whole_batch(0, 6), rank, 3, 1));
    const at::Tensor moving = trainer.network().moving_statistics() / 3.0;
    mean = mean.defined() ? mean + moving : moving;
  }
  for (const TrainingRun& run : runs) {
    EXPECT_LT(relative_difference(run.moving, mean), 1e-12);
    EXPECT_TRUE(at::equal(run.moving, runs[0].moving));
  }
}

TEST(Distributed, BucketsSumEveryElementOnce) {
  expect_no_error(on_ranks(2, [](const std::shared_ptr<Collective>& c) {
    const graph::Graph graph = small_network();
    torchgraph::NetworkOptions options;
    options.dtype = DType::kF64;
    torchgraph::Network network(graph, model::initialise(graph, 1), options);
    GradientBuckets buckets(network, *c, 1 << 12);
    EXPECT_GT(buckets.size(), 10U);
    const sample::Batch batch = share(whole_batch(0, 4), c->rank(), 2, 1);
    const auto backward = [&] {
      const torchgraph::Network::Inputs inputs{at::full({2, 3, kHeight, kWidth}, 1.0 + static_cast<double>(c->rank())),
                                               at::full({2, kJoints, 2}, 20.0 + static_cast<double>(c->rank())),
                                               at::ones({2, kJoints})};
      network.forward(inputs, torchgraph::Mode::kTraining, {"logits"})[0].square().sum().backward();
    };
    backward();  // not armed: this rank's own
    const at::Tensor expected = network.flat_gradients().clone();
    c->all_reduce(expected);
    network.flat_gradients().zero_();
    buckets.arm();
    backward();
    buckets.finish();
    EXPECT_TRUE(at::equal(network.flat_gradients(), expected));
  }));
}

class ShareSource : public DataSource {
 public:
  ShareSource(int64_t batch_size, const Collective& c) : size_(batch_size), rank_(c.rank()), world_(c.world()) {}
  int64_t samples_per_epoch() const override { return 16; }
  void start(int64_t step) override { step_ = step; }
  const sample::Batch& next() override {
    batch_ = share(whole_batch(step_, size_), rank_, world_, 1);
    if (step_ == poisoned_step) batch_.pose[0] = std::numeric_limits<float>::quiet_NaN();
    ++step_;
    return batch_;
  }
  int64_t poisoned_step = -1;

 private:
  int64_t size_;
  int64_t rank_;
  int64_t world_;
  int64_t step_ = 0;
  sample::Batch batch_;
};

TEST(Distributed, ALossThatIsNotFiniteOnOneRankStopsAll) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("distributed_test_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  const auto errors = on_ranks(2, [&](const std::shared_ptr<Collective>& c) {
    TrainConfig config = recipe();
    config.epochs = 4;
    config.sync_batch_norm = false;  // it would carry the value to all ranks
    const graph::Graph graph = small_network();
    Trainer trainer(graph, model::initialise(graph, 1), config, "cpu", DType::kF32, c);
    ShareSource source(config.batch_size, *c);
    if (c->rank() == 1) source.poisoned_step = 2;
    RunFolder run_folder(folder, false, c->rank() == 0);
    const LoopOptions options{.stop_after = 6,
                              .config_yaml = "train.seed: 1\n",
                              .resolved_yaml = "train.seed: 1\n",
                              .skeleton_yaml = "name: x\n",
                              .start = {},
                              .validate = {},
                              .quiet = true,
                              .report = [](const std::string&) {}};
    train_in(run_folder, trainer, source, config, options);
  });
  EXPECT_THAT(errors[0], HasSubstr("step 3: the loss is not finite on rank 1, which writes"));
  EXPECT_THAT(errors[1], HasSubstr("non_finite.rank1.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder / "non_finite.rank0.safetensors"));
  const tensorfile::Snapshot state = tensorfile::read_snapshot(folder / "non_finite.rank1.safetensors");
  EXPECT_EQ(state.metadata.at("posefix.step"), "2");
  EXPECT_EQ(load_batch(state, "state").size, 4);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace posefix::train
