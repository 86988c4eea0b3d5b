// What the HTML pages share: one look, light and dark, self-contained (no scripts, nothing is loaded).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posefix::report {

using Figures = std::vector<std::pair<std::string, std::string>>;  // name, value

// "a < b" -> "a &lt; b".
std::string html_text(std::string_view text);
// RFC 4648, with padding.
std::string base64(std::span<const std::byte> bytes);

// From the doctype to the <h1> and the table of `summary`. `css`: rules of this page besides the shared ones.
std::string html_begin(std::string_view title, const Figures& summary, int max_width_px, std::string_view css);
std::string html_end();

}  // namespace posefix::report
