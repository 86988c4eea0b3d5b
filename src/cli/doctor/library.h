// A shared library that may or may not be here, and functions of it.
#pragma once

#include <string>
#include <vector>

namespace posefix::cli::doctor {

class Library {
 public:
  // Tries the names in order. Loaded libraries stay loaded: some keep threads.
  explicit Library(const std::vector<std::string>& names);

  bool is_loaded() const { return handle_ != nullptr; }
  const std::string& path() const { return path_; }        // where it lies
  const std::string& problem() const { return problem_; }  // why the last name could not be loaded

  // nullptr if it has no such function.
  template <typename Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }

 private:
  void* symbol(const char* name) const;

  void* handle_ = nullptr;
  std::string path_;
  std::string problem_;
};

}  // namespace posefix::cli::doctor
