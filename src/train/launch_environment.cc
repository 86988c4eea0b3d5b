#include "train/launch_environment.h"

#include <unistd.h>

#include <charconv>
#include <optional>
#include <vector>

#include "base/error.h"

namespace posefix::train {
namespace {

constexpr int64_t kMaxProcesses = 1 << 20;
constexpr int64_t kDefaultPort = 29400;
// torchrun's own store listens at MASTER_PORT when it says so; ours listens beside it.
constexpr const char* kAgentHoldsPort = "TORCHELASTIC_USE_AGENT_STORE";

// One launcher's names for the same things; alternatives from left to right.
struct Launcher {
  std::string name;
  std::string marker;  // only under this launcher
  std::vector<std::string> rank;
  std::vector<std::string> world;
  std::vector<std::string> local_rank;
  std::vector<std::string> local_world;
};

const Launcher kTorchrun{"torchrun", "RANK", {"RANK"}, {"WORLD_SIZE"}, {"LOCAL_RANK"}, {"LOCAL_WORLD_SIZE"}};
const Launcher kOpenMpi{"Open MPI",
                        "OMPI_COMM_WORLD_RANK",
                        {"OMPI_COMM_WORLD_RANK"},
                        {"OMPI_COMM_WORLD_SIZE"},
                        {"OMPI_COMM_WORLD_LOCAL_RANK"},
                        {"OMPI_COMM_WORLD_LOCAL_SIZE"}};
const Launcher kPmi{"PMI",
                    "PMI_RANK",
                    {"PMI_RANK"},
                    {"PMI_SIZE"},
                    {"MPI_LOCALRANKID", "PMI_LOCAL_RANK"},
                    {"MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"}};
const Launcher kSlurm{
    "Slurm", "SLURM_PROCID", {"SLURM_PROCID"}, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}, {"SLURM_LOCALID"}, {}};

class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  const std::string* find(const std::string& name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() || found->second.empty() ? nullptr : &found->second;
  }

  // The first of `names` that is set, as a number in [low, high].
  std::optional<int64_t> number(const std::vector<std::string>& names, int64_t low, int64_t high) const {
    for (const std::string& name : names) {
      const std::string* text = find(name);
      if (text == nullptr) continue;
      int64_t value = 0;
      const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
      if (error != std::errc() || end != text->data() + text->size() || value < low || value > high) {
        throw bad_input("environment: {}={}: expected a number from {} to {}", name, *text, low, high);
      }
      return value;
    }
    return std::nullopt;
  }

 private:
  const Environment& environment_;
};

std::optional<Place> place_by(const Launcher& launcher, const Reader& reader) {
  if (reader.find(launcher.marker) == nullptr) return std::nullopt;
  const auto world = reader.number(launcher.world, 1, kMaxProcesses);
  if (!world) {
    throw bad_input("environment: {} is set but {} is not; {} sets both, unset what is left over", launcher.marker,
                    launcher.world.back(), launcher.name);
  }
  Place place;
  place.source = launcher.name;
  place.world = *world;
  place.rank = reader.number(launcher.rank, 0, kMaxProcesses).value_or(0);
  if (place.rank >= place.world) {
    throw bad_input("environment: {}={} is not below {}={}", launcher.marker, place.rank, launcher.world.back(),
                    place.world);
  }
  const auto local_rank = reader.number(launcher.local_rank, 0, kMaxProcesses);
  const auto local_world = reader.number(launcher.local_world, 1, kMaxProcesses);
  place.local_rank = local_rank.value_or(0);
  // One process a machine when nobody counts them (a PyTorchJob's pods); else at least as many as the rank tells.
  place.local_world = local_world.value_or(local_rank ? place.local_rank + 1 : 1);
  if (place.local_rank >= place.local_world) {
    throw bad_input("environment: {}={} is not below {}={}", launcher.local_rank.front(), place.local_rank,
                    launcher.local_world.front(), place.local_world);
  }
  return place;
}

// "4(x2),3" of SLURM_STEP_TASKS_PER_NODE: the largest, so that no machine gets more threads than cores.
int64_t tasks_per_node(const std::string& list) {
  int64_t most = 1;
  int64_t value = 0;
  bool repeat = false;
  for (const char c : list) {
    if (c == '(') repeat = true;
    if (c == ')') repeat = false;
    const bool digit = c >= '0' && c <= '9';
    value = digit && !repeat ? value * 10 + (c - '0') : repeat ? value : 0;
    if (value > kMaxProcesses) break;
    most = std::max(most, value);
  }
  return most;
}

void find_address(Place& place, const Reader& reader) {
  if (place.world == 1) return;
  if (const std::string* address = reader.find("MASTER_ADDR")) {
    place.address = *address;
  } else if (const std::string* nodes = reader.find("SLURM_STEP_NODELIST")) {
    place.address = first_slurm_host(*nodes);
  } else if (const std::string* job_nodes = reader.find("SLURM_NODELIST")) {
    place.address = first_slurm_host(*job_nodes);
  } else if (const std::string* all_nodes = reader.find("SLURM_JOB_NODELIST")) {
    place.address = first_slurm_host(*all_nodes);
  } else if (place.local_world == place.world) {
    place.address = "127.0.0.1";
  } else {
    throw bad_input(
        "environment: {} started rank {} of {} but MASTER_ADDR is not set; set it to the name or address of rank 0's "
        "machine (mpirun -x MASTER_ADDR=HOST, mpiexec -genv MASTER_ADDR HOST)",
        place.source, place.rank, place.world);
  }
  const auto port = reader.number({"MASTER_PORT"}, 1, 65535);
  if (!port && place.source == kTorchrun.name) {
    throw bad_input("environment: RANK is set but MASTER_PORT is not; torchrun sets both");
  }
  // Jobs of one machine must not meet: Slurm's differ by their number.
  const auto job = reader.number({"SLURM_JOB_ID", "SLURM_JOBID"}, 0, INT64_MAX);
  place.port = port.value_or(kDefaultPort + job.value_or(0) % 10000);
  const std::string* agent = reader.find(kAgentHoldsPort);
  if (agent != nullptr && *agent == "True") place.port = place.port < 65535 ? place.port + 1 : place.port - 1;
}

// A launcher that is not the inner one but claims the same processes under other numbers.
void check_agreement(const Place& inner, const Place& other) {
  if (inner.rank == other.rank && inner.world == other.world) return;
  throw bad_input(
      "environment: {} says rank {} of {}, {} says rank {} of {}; one of them is left over from another command, unset "
      "its variables",
      inner.source, inner.rank, inner.world, other.source, other.rank, other.world);
}

}  // namespace

std::string first_slurm_host(const std::string& list) {
  const size_t bracket = list.find('[');
  const size_t comma = list.find(',');
  if (bracket == std::string::npos || comma < bracket) return list.substr(0, comma);
  const size_t end = list.find_first_of("-,]", bracket);
  const size_t close = list.find(']', bracket);
  if (close == std::string::npos) throw bad_input("environment: Slurm's node list '{}' has no ']'", list);
  const std::string after = list.substr(close + 1, list.find(',', close) - close - 1);
  return list.substr(0, bracket) + list.substr(bracket + 1, end - bracket - 1) + after;
}

Place place_in_job(const Environment& environment) {
  const Reader reader(environment);
  if (reader.find("WORLD_SIZE") != nullptr && reader.find("RANK") == nullptr &&
      reader.number({"WORLD_SIZE"}, 1, kMaxProcesses) != 1) {
    throw bad_input("environment: WORLD_SIZE is set but RANK is not; torchrun sets both, unset what is left over");
  }
  const bool elastic = reader.find("TORCHELASTIC_RUN_ID") != nullptr;  // surely torchrun, whatever stands around it
  std::optional<Place> chosen;
  for (const Launcher* launcher : {&kTorchrun, &kOpenMpi, &kPmi}) {
    const std::optional<Place> place = place_by(*launcher, reader);
    if (!place) continue;
    if (chosen && !elastic) check_agreement(*chosen, *place);
    if (!chosen) chosen = place;
    if (elastic) break;
  }
  if (!chosen) {
    chosen = place_by(kSlurm, reader);
    const std::string* tasks = reader.find("SLURM_STEP_TASKS_PER_NODE");
    if (tasks == nullptr) tasks = reader.find("SLURM_TASKS_PER_NODE");
    if (chosen && tasks != nullptr) {
      chosen->local_world = std::max(chosen->local_rank + 1, std::min(chosen->world, tasks_per_node(*tasks)));
    }
  }
  Place place = chosen.value_or(Place{});
  find_address(place, reader);
  return place;
}

Environment process_environment() {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

}  // namespace posefix::train
