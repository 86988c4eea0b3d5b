#include "report/html_page.h"

#include <fmt/format.h>

namespace posefix::report {

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

std::string html_begin(std::string_view title, const Figures& summary, int max_width_px, std::string_view css) {
  constexpr const char* kBegin = R"html(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ max-width: {width}px; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }}
table {{ border-collapse: collapse; }}
td {{ padding: .15rem 1.5rem .15rem 0; vertical-align: top; }}
td:last-child {{ font-variant-numeric: tabular-nums; font-weight: 600; }}
figcaption {{ display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; }}
{css}</style></head><body>
<h1>{title}</h1>
)html";
  std::string text =
      fmt::format(kBegin, fmt::arg("title", html_text(title)), fmt::arg("width", max_width_px), fmt::arg("css", css));
  text += "<table>\n";
  for (const auto& [name, value] : summary) {
    text += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", html_text(name), html_text(value));
  }
  return text + "</table>\n";
}

std::string html_end() { return "</body></html>\n"; }

}  // namespace posefix::report
