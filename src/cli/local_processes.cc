#include "cli/local_processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/interrupt.h"

namespace posefix::cli {
namespace {

using std::chrono::steady_clock;

constexpr const char* kMark = "POSEFIX_LOCAL_PROCESS";
constexpr int kPollMs = 50;

struct Child {
  int64_t rank = 0;
  pid_t pid = -1;
  int output = -1;   // of ranks > 0; -1: closed
  std::string line;  // that has not ended yet
  std::optional<int> status;
  bool killed = false;  // by us

  bool alive() const { return pid > 0 && !status; }
  bool failed_by_itself() const {
    if (!status || killed) return false;
    const bool good = WIFEXITED(*status) && (WEXITSTATUS(*status) == 0 || WEXITSTATUS(*status) == 130);
    return !good;
  }
};

// A port of the loopback that nobody listens at now.
int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool good = socket >= 0 && ::bind(socket, generic, size) == 0 && ::getsockname(socket, generic, &size) == 0;
  const std::string reason = std::strerror(errno);
  if (socket >= 0) ::close(socket);
  if (!good) throw failed("--procs: no free port on this machine: {}", reason);
  return ntohs(address.sin_port);
}

// This process's own command line.
std::vector<std::string> own_arguments() {
  std::ifstream stream("/proc/self/cmdline");
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(stream, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

[[noreturn]] void become(const Child& child, int64_t count, int port, int output, char* const* arguments) {
  ::setpgid(0, 0);  // Ctrl-C reaches the parent alone, which passes it on
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (output >= 0) {
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
  }
  const auto set = [](const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); };
  set(kMark, "1");
  for (const char* name : {"RANK", "LOCAL_RANK"}) set(name, std::to_string(child.rank));
  for (const char* name : {"WORLD_SIZE", "LOCAL_WORLD_SIZE"}) set(name, std::to_string(count));
  set("MASTER_ADDR", "127.0.0.1");
  set("MASTER_PORT", std::to_string(port));
  ::execv("/proc/self/exe", arguments);
  std::fprintf(stderr, "posefix: cannot start itself: %s\n", std::strerror(errno));
  std::_Exit(static_cast<int>(ErrorCode::kFailed));
}

class LocalProcesses {
 public:
  explicit LocalProcesses(int64_t count) : count_(count) {}
  ~LocalProcesses() {
    kill_all();
    for (Child& child : children_) {
      if (child.alive()) ::waitpid(child.pid, nullptr, 0);
      if (child.output >= 0) ::close(child.output);
    }
  }
  LocalProcesses(const LocalProcesses&) = delete;
  LocalProcesses& operator=(const LocalProcesses&) = delete;

  void start() {
    const int port = free_port();
    std::vector<std::string> arguments = own_arguments();
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    for (int64_t rank = 0; rank < count_; ++rank) {
      std::array<int, 2> ends{-1, -1};
      if (rank > 0 && ::pipe2(ends.data(), O_CLOEXEC) != 0) throw failed("--procs: {}", std::strerror(errno));
      Child child;
      child.rank = rank;
      child.output = ends[0];
      child.pid = ::fork();
      if (child.pid == 0) become(child, count_, port, ends[1], pointers.data());
      if (ends[1] >= 0) ::close(ends[1]);
      const int error = errno;
      children_.push_back(child);
      if (child.pid < 0) throw failed("--procs: cannot start rank {}: {}", rank, std::strerror(error));
    }
  }

  void wait() {
    while (any_alive()) {
      read_outputs(kPollMs);
      reap();
      if (interrupted() && !passed_on_) pass_on();
      if (steady_clock::now() > deadline_) kill_all();
    }
    read_outputs(0);
    for (Child& child : children_) {
      if (!child.line.empty()) print(child, child.line);
    }
  }

  // Throws unless all ended well.
  void check() const {
    const Child* first = first_failed_;
    const bool ended_by_us = passed_on_ && first != nullptr && WIFSIGNALED(*first->status) &&
                             WTERMSIG(*first->status) == SIGTERM;  // before it could catch it
    if (first == nullptr || ended_by_us) {
      for (const Child& child : children_) {
        if (passed_on_ || *child.status != 0) throw Error(ErrorCode::kInterrupted, "interrupted");
      }
      return;
    }
    std::string more;
    for (const Child& child : children_) {
      if (child.killed) {
        more += fmt::format("; rank {} did not end within {} s and was killed", child.rank, kGrace.count());
      }
    }
    if (WIFSIGNALED(*first->status)) {
      const int signal = WTERMSIG(*first->status);
      throw failed("rank {} was ended by signal {} ({}{}){}; the run goes on with --resume", first->rank, signal,
                   strsignal(signal), signal == SIGKILL ? ": by hand, or for lack of memory" : "", more);
    }
    const int code = WEXITSTATUS(*first->status);
    const bool bad = code == static_cast<int>(ErrorCode::kBadInput);
    throw Error(bad ? ErrorCode::kBadInput : ErrorCode::kFailed,
                fmt::format("rank {} ended with exit code {}; what it said stands above{}", first->rank, code, more));
  }

 private:
  bool any_alive() const {
    for (const Child& child : children_) {
      if (child.alive()) return true;
    }
    return false;
  }

  void reap() {
    for (Child& child : children_) {
      int status = 0;
      if (!child.alive() || ::waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
      child.status = status;
      if (!child.failed_by_itself()) continue;
      deadline_ = std::min(deadline_, steady_clock::now() + kGrace);
      // Who was ended from outside is at fault, not who saw it and ended too, however close they are.
      const bool by_signal = WIFSIGNALED(status);
      if (first_failed_ == nullptr || (by_signal && !WIFSIGNALED(*first_failed_->status))) first_failed_ = &child;
    }
  }

  void pass_on() {
    passed_on_ = true;
    for (const Child& child : children_) {
      if (child.alive()) ::kill(child.pid, SIGTERM);
    }
  }

  void kill_all() {
    for (Child& child : children_) {
      if (!child.alive()) continue;
      ::kill(child.pid, SIGKILL);
      child.killed = true;
    }
  }

  void read_outputs(int wait_ms) {
    std::vector<pollfd> polled;
    for (const Child& child : children_) polled.push_back({child.output, POLLIN, 0});  // -1 is passed over
    for (int wait = wait_ms; ::poll(polled.data(), polled.size(), wait) > 0; wait = 0) {
      for (size_t i = 0; i < polled.size(); ++i) {
        if (polled[i].revents != 0 && !read_output(children_[i])) polled[i].fd = -1;
      }
    }
  }

  // False at the end.
  static bool read_output(Child& child) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(child.output, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0) {
      ::close(child.output);
      child.output = -1;
      return false;
    }
    for (const char c : std::string_view(buffer.data(), static_cast<size_t>(got))) {
      if (c == '\n') {
        print(child, child.line);
        child.line.clear();
      } else {
        child.line += c;
      }
    }
    return true;
  }

  static void print(const Child& child, const std::string& line) {
    std::fprintf(stderr, "[rank %ld] %s\n", static_cast<long>(child.rank), line.c_str());
  }

  int64_t count_;
  std::vector<Child> children_;
  steady_clock::time_point deadline_ = steady_clock::time_point::max();  // once one has failed
  const Child* first_failed_ = nullptr;
  bool passed_on_ = false;
};

}  // namespace

bool is_local_process() { return std::getenv(kMark) != nullptr; }

void run_local_processes(int64_t count) {
  for (const char* name : {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK"}) {
    if (std::getenv(name) == nullptr) continue;
    throw bad_input(
        "--procs {}: this process was itself started as one of several ({} is set); leave --procs out, or "
        "unset the variable",
        count, name);
  }
  LocalProcesses processes(count);
  processes.start();
  processes.wait();
  processes.check();
}

}  // namespace posefix::cli
