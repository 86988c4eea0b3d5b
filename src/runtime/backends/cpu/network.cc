#include "runtime/backends/cpu/network_builder.h"

namespace posefix::runtime::cpu {

Network::Network(const plan::Plan& plan, const plan::Tuning* tuning, int64_t batch, WeightStore& weights,
                 const dnnl::engine& engine, std::byte* arena)
    : batch_(batch), engine_(engine), stream_(engine) {
  NetworkBuilder(*this, plan, tuning, weights, arena).build();
}

Network::~Network() = default;

void Network::bind_scratch(std::byte* scratch) {
  scratch_ = scratch;
  for (ScratchUse& use : scratch_uses_) use.memory.set_data_handle(scratch + use.offset);
}

std::vector<float> Network::read(int32_t tensor) {
  const Value& value = values_.at(static_cast<size_t>(tensor));
  PFX_CHECK(value.phases == 1);
  std::vector<float> result(static_cast<size_t>(element_count(value.desc.dims())));
  dnnl::memory from(value.desc, engine_, value.data);
  dnnl::memory to({value.desc.dims(), Type::f32, Tag::nhwc}, engine_, result.data());
  dnnl::primitive_attr attributes;
  if (value.scale != 1) attributes.set_output_scales(0, {value.scale});
  dnnl::reorder(from, to, attributes).execute(stream_, from, to);
  stream_.wait();
  return result;
}

}  // namespace posefix::runtime::cpu
