#include "graphdef.h"

#include <algorithm>
#include <cstring>

namespace ascend_stub {
namespace {

struct Field {
  uint32_t number = 0;
  uint32_t type = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}
  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    field = {static_cast<uint32_t>(key >> 3), static_cast<uint32_t>(key & 7), 0, {}};
    if (field.type == 0) field.value = varint();
    if (field.type == 1) field.value = fixed(8);
    if (field.type == 5) field.value = fixed(4);
    if (field.type == 2) field.bytes = take(varint());
    if (field.type == 3 || field.type == 4 || field.type > 5) throw std::runtime_error("not a protocol buffer");
    return true;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw std::runtime_error("a varint is too long");
  }
  bool done() const { return at_ == bytes_.size(); }
  std::string_view take(uint64_t n) {
    if (n > bytes_.size() - at_) throw std::runtime_error("the file ends early");
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }

 private:
  uint64_t fixed(size_t n) {
    uint64_t value = 0;
    std::memcpy(&value, take(n).data(), n);
    return value;
  }
  std::string_view bytes_;
  size_t at_ = 0;
};

Shape parse_shape(std::string_view bytes) {
  Shape shape;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number != 2) continue;
    int64_t size = 0;
    Message dim(field.bytes);
    for (Field part; dim.next(part);) {
      if (part.number == 1) size = static_cast<int64_t>(part.value);
    }
    shape.push_back(size);
  }
  return shape;
}

// A packed or single typed value field.
template <typename T>
void append_fixed(const Field& field, std::vector<T>& out) {
  if (field.type != 2) {
    T value{};
    std::memcpy(&value, &field.value, sizeof(T));
    out.push_back(value);
    return;
  }
  const size_t before = out.size();
  out.resize(before + field.bytes.size() / sizeof(T));
  std::memcpy(out.data() + before, field.bytes.data(), (out.size() - before) * sizeof(T));
}

void append_varints(const Field& field, std::vector<int64_t>& out) {
  if (field.type != 2) {
    out.push_back(static_cast<int64_t>(field.value));
    return;
  }
  for (Message message(field.bytes); !message.done();) out.push_back(static_cast<int64_t>(message.varint()));
}

template <typename From, typename To>
void copy_content(std::string_view content, std::vector<To>& out) {
  std::vector<From> values(content.size() / sizeof(From));
  if (!values.empty()) std::memcpy(values.data(), content.data(), values.size() * sizeof(From));
  out.assign(values.begin(), values.end());
}

Value parse_tensor(std::string_view bytes) {
  Value value;
  uint64_t dtype = 0;
  std::string_view content;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) dtype = field.value;
    if (field.number == 2) value.shape = parse_shape(field.bytes);
    if (field.number == 4) content = field.bytes;
    if (field.number == 5) append_fixed(field, value.floats);
    if (field.number == 7 || field.number == 10) append_varints(field, value.ints);
  }
  if (!content.empty() && dtype == 1) copy_content<float>(content, value.floats);
  if (!content.empty() && dtype == 3) copy_content<int32_t>(content, value.ints);
  if (!content.empty() && dtype == 9) copy_content<int64_t>(content, value.ints);
  size_t count = 1;
  for (const int64_t d : value.shape) count *= static_cast<size_t>(d);
  // The last value stands for all that follow.
  if (!value.floats.empty()) value.floats.resize(count, value.floats.back());
  if (!value.ints.empty()) value.ints.resize(count, value.ints.back());
  return value;
}

Attribute parse_attribute(std::string_view bytes) {
  Attribute attribute;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 2) attribute.s = field.bytes;
    if (field.number == 3) attribute.i = static_cast<int64_t>(field.value);
    if (field.number == 4) std::memcpy(&attribute.f, &field.value, sizeof(float));
    if (field.number == 5) attribute.b = field.value != 0;
    if (field.number == 6) attribute.type = static_cast<int64_t>(field.value);
    if (field.number == 7) attribute.shape = parse_shape(field.bytes), attribute.has_shape = true;
    if (field.number == 8) attribute.tensor = parse_tensor(field.bytes), attribute.has_tensor = true;
    if (field.number == 1) {
      Message list(field.bytes);
      for (Field item; list.next(item);) {
        if (item.number == 3) append_varints(item, attribute.list_i);
      }
    }
  }
  return attribute;
}

NodeDef parse_node(std::string_view bytes) {
  NodeDef node;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) node.name = field.bytes;
    if (field.number == 2) node.op = field.bytes;
    if (field.number == 3) {
      const std::string_view input =
          field.bytes.ends_with(":0") ? field.bytes.substr(0, field.bytes.size() - 2) : field.bytes;
      node.inputs.emplace_back(input);
    }
    if (field.number == 5) {
      std::string key;
      Attribute value;
      Message entry(field.bytes);
      for (Field part; entry.next(part);) {
        if (part.number == 1) key = part.bytes;
        if (part.number == 2) value = parse_attribute(part.bytes);
      }
      node.attributes[key] = std::move(value);
    }
  }
  return node;
}

}  // namespace

const Attribute* NodeDef::find(const std::string& key) const {
  const auto found = attributes.find(key);
  return found == attributes.end() ? nullptr : &found->second;
}

const Attribute& NodeDef::at(const std::string& key) const {
  const Attribute* attribute = find(key);
  if (attribute == nullptr) throw std::runtime_error("node " + name + " (" + op + ") has no attribute " + key);
  return *attribute;
}

const NodeDef* GraphDef::find(std::string_view name) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const NodeDef& node) { return node.name == name; });
  return found == nodes.end() ? nullptr : &*found;
}

GraphDef parse_graphdef(std::string_view bytes) {
  GraphDef graph;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == 1) graph.nodes.push_back(parse_node(field.bytes));
  }
  if (graph.nodes.empty()) throw std::runtime_error("not a GraphDef: no nodes");
  return graph;
}

}  // namespace ascend_stub
