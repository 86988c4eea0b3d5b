// A contact sheet as one HTML file: a summary, then a panel with its figures for every picture. Self-contained
// (pictures are embedded as JPEG, no scripts, nothing is loaded), readable without colours, light and dark. Written as
// it grows, so that memory holds one picture; the file appears when finish() is called.
#pragma once

#include <filesystem>
#include <string>

#include "base/file.h"
#include "image/image.h"
#include "report/html_page.h"

namespace posefix::report {

class ContactPage {
 public:
  // `summary` stands in a table under the title; `note` is a paragraph after it.
  ContactPage(const std::filesystem::path& path, const std::string& title, const Figures& summary,
              const std::string& note);
  // Panels wider than `width_px` are shrunk to it.
  void add(const std::string& name, const image::Image& panel, const Figures& figures, int width_px = 960);
  void finish();

 private:
  AtomicFile file_;
};

}  // namespace posefix::report
