// Giving back memory that a mapped file can fill again.
#pragma once

#include <cstddef>
#include <span>

namespace posefix {

// Lets the operating system take back the memory behind bytes of a MappedFile; reading them again reads the file again.
// No effect on bytes that lie elsewhere.
void release_pages(std::span<const std::byte> bytes);

}  // namespace posefix
