#include "report/contact_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"

namespace posefix::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string base64_of(std::string_view text) { return base64(std::as_bytes(std::span(text))); }

TEST(ContactPage, EncodesBase64AsRfc4648HasIt) {
  EXPECT_EQ(base64_of(""), "");
  EXPECT_EQ(base64_of("f"), "Zg==");
  EXPECT_EQ(base64_of("fo"), "Zm8=");
  EXPECT_EQ(base64_of("foo"), "Zm9v");
  EXPECT_EQ(base64_of("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64_of("\xff\xfe\xfd"), "//79");
}

TEST(ContactPage, IsOneSelfContainedFileAndEscapesNames) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "page.html";
  {
    ContactPage page(path, "a < b", {{"AP", "12.3"}}, "note & more");
    page.add("<x>.jpg", {8, 6, std::vector<uint8_t>(8 * 6 * 3, 100)}, {{"OKS", "0.5"}});
    EXPECT_FALSE(std::filesystem::exists(path));  // appears whole
    page.finish();
  }
  const std::string text = read_file(path);
  EXPECT_THAT(text, AllOf(HasSubstr("<h1>a &lt; b</h1>"), HasSubstr("<td>AP</td><td>12.3</td>"),
                          HasSubstr("note &amp; more"), HasSubstr("<b>&lt;x&gt;.jpg</b><span>OKS: 0.5</span>"),
                          HasSubstr("data:image/jpeg;base64,/9j/"), HasSubstr("</html>")));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("http"))));
}

}  // namespace
}  // namespace posefix::report
