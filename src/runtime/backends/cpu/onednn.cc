#include "runtime/backends/cpu/onednn.h"

#include <cstring>

#include "base/error.h"

namespace posefix::runtime::cpu {

bool has_instructions(dnnl::cpu_isa isa) {
  const auto wanted = static_cast<unsigned>(isa);  // a set of bits that contains what it builds on
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

Type type_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return Type::f32;
    case DType::kBF16:
      return Type::bf16;
    case DType::kI8:
      return Type::s8;
    case DType::kU8:
      return Type::u8;
    default:
      throw failed("the cpu backend cannot hold {}", dtype_name(dtype));
  }
}

Layout layout_of(const Desc& desc) {
  const dnnl_memory_desc_t& d = desc.data;
  PFX_CHECK(d.ndims == 4 && d.format_kind == dnnl_blocked);
  const dnnl_blocking_desc_t& blocking = d.format_desc.blocking;
  Layout layout{d.dims[2], d.dims[3], d.dims[1], 1, d.dims[1]};
  if (blocking.inner_nblks == 1) {
    PFX_CHECK(blocking.inner_idxs[0] == 1);
    layout.block = blocking.inner_blks[0];
    layout.blocks = d.padded_dims[1] / layout.block;
  } else if (blocking.strides[1] != 1 && d.dims[1] > 1) {  // nchw
    layout.blocks = d.dims[1];
    layout.block = 1;
  }
  PFX_CHECK(blocking.strides[3] == layout.block);
  return layout;
}

Tag tag_of(const Layout& layout) {
  if (layout.blocks == 1 && layout.block == layout.channels) return Tag::nhwc;
  if (layout.block == 1) return Tag::nchw;
  PFX_CHECK(layout.block == 8 || layout.block == 16);
  return layout.block == 16 ? Tag::nChw16c : Tag::nChw8c;
}

void Call::set(const dnnl::primitive& primitive, const std::vector<std::pair<int, dnnl::memory>>& memories) {
  primitive_ = primitive;
  for (const auto& [argument, memory] : memories) {
    if (!memory) continue;
    arguments_.push_back({argument, memory.get()});
    memories_.push_back(memory);
  }
}

void Call::run(dnnl::stream& stream) const {
  const dnnl_status_t status =
      dnnl_primitive_execute(primitive_.get(), stream.get(), static_cast<int>(arguments_.size()), arguments_.data());
  if (status != dnnl_success) throw failed("oneDNN could not run a step (status {})", static_cast<int>(status));
}

bool is_slow(const std::string& implementation) {
  return implementation.starts_with("ref") || implementation.starts_with("gemm");
}

}  // namespace posefix::runtime::cpu
