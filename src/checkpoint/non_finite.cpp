// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/non_finite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

// A value is not finite when all bits of its exponent (of e4m3fn: all but the sign) are ones. Counters as wide as the
// values make this a loop of vector instructions; a block is short enough that they cannot overflow.
template <class Bits, Bits kMask>
std::int64_t count_masked(std::span<const std::byte> values) {
  constexpr std::size_t kBlock = 128;
  std::int64_t count = 0;
  Bits block[kBlock];
  for (std::size_t begin = 0; begin < values.size(); begin += sizeof(block)) {
    const std::size_t block_bytes = std::min(sizeof(block), values.size() - begin);
    std::memcpy(block, values.data() + begin, block_bytes);
    std::fill(block + block_bytes / sizeof(Bits), block + kBlock, Bits{0});
    Bits in_block = 0;
    for (const Bits bits : block) in_block = Bits(in_block + Bits((bits & kMask) == kMask));
    count += in_block;
  }
  return count;
}

}  // namespace

std::int64_t count_non_finite(DType dtype, std::span<const std::byte> values) {
  switch (dtype) {
    case DType::float32:
      return count_masked<std::uint32_t, 0x7f800000u>(values);
    case DType::bfloat16:
      return count_masked<std::uint16_t, 0x7f80u>(values);
    case DType::float8_e4m3fn:
      return count_masked<std::uint8_t, 0x7fu>(values);
    default:
      raise("values of dtype {} cannot be searched for infinities", name(dtype));
  }
}

std::string index_text(std::uint64_t value, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = std::int64_t(value % std::uint64_t(shape[axis]));
    value /= std::uint64_t(shape[axis]);
  }
  return shape_text(index);
}

void NonFiniteReport::scan(const StoredTensor& tensor, std::uint64_t byte_offset, std::span<const std::byte> values) {
  const std::int64_t count = count_non_finite(tensor.dtype, values);
  if (count == 0) return;
  const std::size_t value_bytes = size_bytes(tensor.dtype);
  std::size_t at = 0;
  while (count_non_finite(tensor.dtype, values.subspan(at, value_bytes)) == 0) at += value_bytes;
  const std::uint64_t first_value = (byte_offset + at) / value_bytes;
  const std::uint64_t part = first_value / std::uint64_t(tensor.num_part_values());

  const std::lock_guard lock(mutex_);
  Finding& finding = findings_[{tensor.name, part}];
  if (finding.count == 0 || first_value < finding.first_value) {
    finding.first_value = first_value;
    finding.text =
        fmt::format("the first at {}, which is '{}'", index_text(first_value, tensor.shape), tensor.parts[part]);
  }
  finding.count += count;
}

std::string NonFiniteReport::report() const {
  const std::lock_guard lock(mutex_);
  nlohmann::json findings = nlohmann::json::array();
  for (const auto& [place, finding] : findings_) {
    findings.push_back({place.first, place.second, finding.count, finding.first_value, finding.text});
  }
  return findings.dump();
}

void NonFiniteReport::add_report(const std::string& report) {
  const std::lock_guard lock(mutex_);
  for (const nlohmann::json& finding : nlohmann::json::parse(report)) {
    findings_[{finding[0], finding[1]}] = {finding[2], finding[3], finding[4]};
  }
}

std::vector<std::string> NonFiniteReport::lines() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  for (const auto& [place, finding] : findings_) {
    lines.push_back(fmt::format("{}: {} {} not finite, {}", place.first, finding.count,
                                finding.count == 1 ? "value is" : "values are", finding.text));
  }
  return lines;
}

}  // namespace m2
