// SPDX-License-Identifier: Apache-2.0
#include "comm/communicator.hpp"

namespace m2 {

template <class T>
void Communicator::all_reduce(const ExecSpace& exec, View1D<const T> in, View1D<T> out, Reduction reduction,
                              SumOrder order) {
  M2_REQUIRE(in.extent(0) == out.extent(0), "all_reduce: in has {} elements, out {}; both need the same", in.extent(0),
             out.extent(0));
  reduce(exec, kDTypeOf<T>, in.data(), out.data(), std::int64_t(in.extent(0)), reduction, order);
}

template <class T>
void Communicator::reduce_scatter(const ExecSpace& exec, View1D<const T> in, View1D<T> out, SumOrder order) {
  M2_REQUIRE(in.extent(0) == out.extent(0) * std::size_t(size_),
             "reduce_scatter: in has {} elements; {} ranks with {} each need {}", in.extent(0), size_, out.extent(0),
             out.extent(0) * std::size_t(size_));
  sum_blocks(exec, kDTypeOf<T>, in.data(), out.data(), std::int64_t(out.extent(0)), order);
}

std::vector<std::int64_t> Communicator::sum_values(std::span<const std::int64_t> values) {
  const std::vector<std::int64_t> all = all_gather_values(values);
  std::vector<std::int64_t> sum(values.size());
  for (std::size_t i = 0; i < all.size(); ++i) sum[i % sum.size()] += all[i];
  return sum;
}

std::vector<std::int64_t> Communicator::bytes_of_rows(const char* name, std::span<const std::int64_t> rows,
                                                      std::int64_t num_rows, std::int64_t row_bytes) const {
  M2_REQUIRE(rows.size() == std::size_t(size_), "all_to_all_v: {} has {} entries, expected one for each of {} ranks",
             name, rows.size(), size_);
  std::vector<std::int64_t> bytes;
  std::int64_t sum = 0;
  for (const std::int64_t count : rows) {
    M2_REQUIRE(count >= 0, "all_to_all_v: {}[{}] is {}, expected 0 or more", name, bytes.size(), count);
    sum += count;
    bytes.push_back(count * row_bytes);
  }
  M2_REQUIRE(sum <= num_rows, "all_to_all_v: {} adds up to {} rows, the view has {}", name, sum, num_rows);
  return bytes;
}

void Communicator::require_root(int root) const {
  M2_REQUIRE(root >= 0 && root < size_, "broadcast: root is rank {}, there are ranks 0 to {}", root, size_ - 1);
}

template void Communicator::all_reduce(const ExecSpace&, View1D<const float>, View1D<float>, Reduction, SumOrder);
template void Communicator::all_reduce(const ExecSpace&, View1D<const Bf16>, View1D<Bf16>, Reduction, SumOrder);
template void Communicator::all_reduce(const ExecSpace&, View1D<const std::int32_t>, View1D<std::int32_t>, Reduction,
                                       SumOrder);
template void Communicator::all_reduce(const ExecSpace&, View1D<const std::int64_t>, View1D<std::int64_t>, Reduction,
                                       SumOrder);
template void Communicator::reduce_scatter(const ExecSpace&, View1D<const float>, View1D<float>, SumOrder);
template void Communicator::reduce_scatter(const ExecSpace&, View1D<const Bf16>, View1D<Bf16>, SumOrder);
template void Communicator::reduce_scatter(const ExecSpace&, View1D<const std::int32_t>, View1D<std::int32_t>,
                                           SumOrder);
template void Communicator::reduce_scatter(const ExecSpace&, View1D<const std::int64_t>, View1D<std::int64_t>,
                                           SumOrder);

}  // namespace m2
