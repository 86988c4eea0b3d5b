#include "report/contact_page.h"

#include <fmt/format.h>

#include "image/draw.h"

namespace posefix::report {
namespace {

constexpr int kJpegQuality = 82;

constexpr const char* kHead = R"html(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{0}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
table {{ border-collapse: collapse; }}
td {{ padding: .15rem 1.5rem .15rem 0; }}
td:last-child {{ font-variant-numeric: tabular-nums; font-weight: 600; }}
figure {{ margin: 2rem 0; }}
figure img {{ max-width: 100%; height: auto; border-radius: 4px; display: block; }}
figcaption {{ display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; padding-top: .4rem; }}
figcaption b {{ font-weight: 600; }}
</style></head><body>
<h1>{0}</h1>
)html";

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr const char* kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? static_cast<uint32_t>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) out += j <= count ? kAlphabet[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

ContactPage::ContactPage(const std::filesystem::path& path, const std::string& title, const Figures& summary,
                         const std::string& note)
    : file_(path) {
  std::string text = fmt::format(fmt::runtime(kHead), html_text(title));
  text += "<table>\n";
  for (const auto& [name, value] : summary) {
    text += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", html_text(name), html_text(value));
  }
  text += "</table>\n";
  if (!note.empty()) text += fmt::format("<p>{}</p>\n", html_text(note));
  file_.write(text);
}

void ContactPage::add(const std::string& name, const image::Image& panel, const Figures& figures, int width_px) {
  const std::vector<std::byte> jpeg =
      image::encode_jpeg(panel.width > width_px ? image::resized(panel, width_px) : panel, kJpegQuality);
  file_.write(fmt::format("<figure><img alt=\"{}\" src=\"data:image/jpeg;base64,", html_text(name)));
  file_.write(base64(jpeg));
  std::string text = fmt::format("\"><figcaption><b>{}</b>", html_text(name));
  for (const auto& [figure, value] : figures) {
    text += fmt::format("<span>{}: {}</span>", html_text(figure), html_text(value));
  }
  file_.write(text + "</figcaption></figure>\n");
}

void ContactPage::finish() {
  file_.write("</body></html>\n");
  file_.commit();
}

}  // namespace posefix::report
