#include "report/contact_page.h"

#include <fmt/format.h>

#include "image/draw.h"

namespace posefix::report {
namespace {

constexpr int kJpegQuality = 82;

constexpr const char* kStyle = R"css(figure { margin: 2rem 0; }
figure img { max-width: 100%; height: auto; border-radius: 4px; display: block; }
figcaption { padding-top: .4rem; }
figcaption b { font-weight: 600; }
)css";

}  // namespace

ContactPage::ContactPage(const std::filesystem::path& path, const std::string& title, const Figures& summary,
                         const std::string& note)
    : file_(path) {
  std::string text = html_begin(title, summary, 1000, kStyle);
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
  file_.write(html_end());
  file_.commit();
}

}  // namespace posefix::report
