#include "compiler/ascend/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"

extern char** environ;  // POSIX; declared by no header

namespace posefix::compiler::ascend {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::milliseconds(2000);  // between asking to end and ending
constexpr auto kPollInterval = std::chrono::milliseconds(50);
constexpr size_t kKeptOutput = 1 << 20;

struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw failed("cannot make a pipe: {}", std::strerror(errno));
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  ~Pipe() {
    ::close(ends[0]);
    close_write_end();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_write_end() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  std::array<int, 2> ends{-1, -1};
};

class SpawnSettings {
 public:
  SpawnSettings(const std::filesystem::path& working_folder, int output) {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    ::posix_spawn_file_actions_addchdir_np(&actions, working_folder.c_str());
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    sigset_t handled = none;
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::sigaddset(&handled, signal);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &handled);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

// The group of a started program; whatever is left of it ends with this object.
class Group {
 public:
  explicit Group(pid_t leader) : leader_(leader) {}
  ~Group() {
    ::kill(-leader_, SIGKILL);  // the leader's children too; none left is no error
    if (!is_reaped_) ::waitpid(leader_, &status_, 0);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  bool has_ended() {
    if (!is_reaped_) is_reaped_ = ::waitpid(leader_, &status_, WNOHANG) == leader_;
    return is_reaped_;
  }
  void ask_to_end() {
    ::kill(-leader_, SIGTERM);
    const auto limit = Clock::now() + kPatience;
    while (!has_ended() && Clock::now() < limit) std::this_thread::sleep_for(kPollInterval);
  }
  int status() const { return status_; }

 private:
  pid_t leader_;
  bool is_reaped_ = false;
  int status_ = 0;
};

// What is there now; false at the end of the stream.
bool read_available(int file, ChildResult& result, const std::function<void(std::string_view)>& on_output) {
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t n = ::read(file, buffer.data(), buffer.size());
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    const std::string_view piece(buffer.data(), static_cast<size_t>(n));
    result.output += piece;
    if (result.output.size() > 2 * kKeptOutput) result.output.erase(0, result.output.size() - kKeptOutput);
    if (on_output) on_output(piece);
  }
}

// Why the kernel refused to start a program. Its "No such file" for one that is there means what is to run it: the
// script's interpreter, or the loader of its shared libraries.
std::string start_failure(const std::filesystem::path& program, int error) {
  std::ifstream file(program, std::ios::binary);
  if (error == ENOENT && file) {
    std::string line;
    std::getline(file, line);
    if (!line.starts_with("#!")) {
      return "the loader that it was linked for is missing on this machine; it is a program for another system";
    }
    const size_t begin = std::min(line.find_first_not_of(" \t", 2), line.size());
    const std::string interpreter = line.substr(begin, line.find_first_of(" \t", begin) - begin);
    if (interpreter.ends_with('\r')) {
      return fmt::format(
          "its first line '#!{}' ends in a carriage return (Windows line ends), which counts as a part of the "
          "interpreter's name; remove it: sed -i 's/\\r$//' {}",
          interpreter.substr(0, interpreter.size() - 1), program.string());
    }
    return fmt::format(
        "it is a script for the interpreter {}, which is missing on this machine; install it, or mend the script's "
        "first line",
        interpreter);
  }
  if (error == ENOEXEC) {
    return "it is neither a program for this machine's processor nor a script that names its interpreter (#!)";
  }
  return std::strerror(error);
}

}  // namespace

ChildResult run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      const std::filesystem::path& working_folder, double timeout_s,
                      const std::function<void(std::string_view)>& on_output) {
  Pipe pipe;
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t leader = 0;
  {
    const SpawnSettings settings(working_folder, pipe.ends[1]);
    const int error =
        ::posix_spawn(&leader, program.c_str(), &settings.actions, &settings.attributes, argv.data(), environ);
    if (error != 0) throw failed("cannot run {}: {}", program.string(), start_failure(program, error));
  }
  pipe.close_write_end();
  Group group(leader);
  ChildResult result;
  const auto limit =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_s));
  bool is_open = true;
  while (!group.has_ended()) {
    if (interrupted()) {
      group.ask_to_end();
      throw_if_interrupted();
    }
    if (Clock::now() > limit) {
      result.timed_out = true;
      group.ask_to_end();
      break;
    }
    pollfd waiting{pipe.ends[0], POLLIN, 0};
    if (is_open) {
      ::poll(&waiting, 1, static_cast<int>(kPollInterval.count()));
      is_open = read_available(pipe.ends[0], result, on_output);
    } else {
      std::this_thread::sleep_for(kPollInterval);
    }
  }
  // What was written before the end; a child that holds the pipe open does not keep us.
  if (is_open) read_available(pipe.ends[0], result, on_output);
  if (!result.timed_out && WIFEXITED(group.status())) result.exit_code = WEXITSTATUS(group.status());
  if (group.has_ended() && WIFSIGNALED(group.status())) result.signal = WTERMSIG(group.status());
  return result;
}

}  // namespace posefix::compiler::ascend
