// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_reduce.hpp"

#include <algorithm>

#include "comm/rank_tree.hpp"

namespace m2 {
namespace {

constexpr std::int64_t kScratchBytes = std::int64_t(16) << 20;
constexpr std::int64_t kSmallBytes = std::int64_t(64) << 10;  // of all ranks; below it, the number of messages counts

// First elements of the blocks of `count` elements, one for each rank, and the end.
std::vector<std::int64_t> even_blocks(int size, std::int64_t count) {
  std::vector<std::int64_t> begin;
  for (int r = 0; r <= size; ++r) begin.push_back(count / size * r + std::min<std::int64_t>(count % size, r));
  return begin;
}

// out = the reduction of block `rank` of every rank's `in`; block r is [begin[r], begin[r + 1]).
template <class T>
void reduce_own_block(const MpiGroup& group, const T* in, const std::vector<std::int64_t>& begin, Reduction reduction,
                      T* out) {
  std::int64_t longest = 0;
  for (int r = 0; r < group.size; ++r) longest = std::max(longest, begin[r + 1] - begin[r]);
  const std::int64_t in_scratch = std::max<std::int64_t>(1, kScratchBytes / std::int64_t(group.size * sizeof(T)));
  const std::int64_t stride = std::min(longest, in_scratch);
  std::vector<T> parts(std::size_t(group.size * stride));
  for (std::int64_t offset = 0; offset < longest; offset += stride) {
    const auto length = [&](int r) { return std::clamp<std::int64_t>(begin[r + 1] - begin[r] - offset, 0, stride); };
    const std::int64_t own = length(group.rank);
    MpiPieces pieces(group.comm, group.piece_bytes);
    for (int i = 1; i < group.size; ++i) {  // each rank begins with another one
      const int to = (group.rank + i) % group.size, from = (group.rank - i + group.size) % group.size;
      pieces.receive(reinterpret_cast<std::byte*>(&parts[from * stride]), own * std::int64_t(sizeof(T)), from);
      pieces.send(reinterpret_cast<const std::byte*>(in + begin[to] + offset), length(to) * std::int64_t(sizeof(T)),
                  to);
    }
    std::copy_n(in + begin[group.rank] + offset, own, &parts[group.rank * stride]);
    pieces.wait();
    reduce_by_tree(parts.data(), stride, group.size, own, reduction, out + offset);
  }
}

template <class T>
void gather_blocks(const MpiGroup& group, const std::vector<std::int64_t>& begin, T* inout) {
  MpiPieces pieces(group.comm, group.piece_bytes);
  const auto block_bytes = [&](int r) { return (begin[r + 1] - begin[r]) * std::int64_t(sizeof(T)); };
  for (int i = 1; i < group.size; ++i) {
    const int to = (group.rank + i) % group.size, from = (group.rank - i + group.size) % group.size;
    pieces.receive(reinterpret_cast<std::byte*>(inout + begin[from]), block_bytes(from), from);
    pieces.send(reinterpret_cast<const std::byte*>(inout + begin[group.rank]), block_bytes(group.rank), to);
  }
  pieces.wait();
}

template <class T>
void reduce_fixed(const MpiGroup& group, const T* in, T* out, std::int64_t count, Reduction reduction) {
  const std::int64_t bytes = count * std::int64_t(sizeof(T));
  if (bytes * group.size <= kSmallBytes) {
    std::vector<T> parts(std::size_t(group.size * count));
    check_mpi(MPI_Allgather(in, int(bytes), MPI_BYTE, parts.data(), int(bytes), MPI_BYTE, group.comm), "MPI_Allgather");
    reduce_by_tree(parts.data(), count, group.size, count, reduction, out);
    return;
  }
  const std::vector<std::int64_t> begin = even_blocks(group.size, count);
  reduce_own_block(group, in, begin, reduction, out + begin[group.rank]);
  gather_blocks(group, begin, out);
}

template <class T>
void sum_blocks_fixed(const MpiGroup& group, const T* in, T* out, std::int64_t count) {
  std::vector<std::int64_t> begin;
  for (int r = 0; r <= group.size; ++r) begin.push_back(r * count);
  reduce_own_block(group, in, begin, Reduction::sum, out);
}

void add_bf16(void* in, void* inout, int* count, MPI_Datatype*) {
  const auto* a = static_cast<const Bf16*>(in);
  auto* b = static_cast<Bf16*>(inout);
  for (int i = 0; i < *count; ++i) b[i] = Bf16(float(a[i]) + float(b[i]));
}

// MPI's type and operation; MPI has no bfloat16.
class Operation {
 public:
  Operation(DType dtype, Reduction reduction)
      : op_(reduction == Reduction::sum ? MPI_SUM : (reduction == Reduction::max ? MPI_MAX : MPI_MIN)) {
    if (dtype == DType::float32) type_ = MPI_FLOAT;
    if (dtype == DType::int32) type_ = MPI_INT32_T;
    if (dtype == DType::int64) type_ = MPI_INT64_T;
    if (dtype != DType::bfloat16) return;
    type_ = MPI_UINT16_T;
    check_mpi(MPI_Op_create(add_bf16, /*commute=*/1, &op_), "MPI_Op_create");
    own_ = true;
  }
  ~Operation() {
    if (own_) MPI_Op_free(&op_);
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  MPI_Datatype type() const { return type_; }
  MPI_Op op() const { return op_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
  MPI_Op op_;
  bool own_ = false;
};

const std::byte* bytes_at(const void* data, std::int64_t bytes) { return static_cast<const std::byte*>(data) + bytes; }
std::byte* bytes_at(void* data, std::int64_t bytes) { return static_cast<std::byte*>(data) + bytes; }

}  // namespace

void mpi_reduce(const MpiGroup& group, DType dtype, const void* in, void* out, std::int64_t count, Reduction reduction,
                SumOrder order) {
  const bool fixed = order == SumOrder::fixed || reduction != Reduction::sum;  // MPI does not say what a NaN does
  if (fixed && dtype == DType::float32) {
    return reduce_fixed(group, static_cast<const float*>(in), static_cast<float*>(out), count, reduction);
  }
  if (fixed && dtype == DType::bfloat16) {
    return reduce_fixed(group, static_cast<const Bf16*>(in), static_cast<Bf16*>(out), count, reduction);
  }
  const Operation operation(dtype, reduction);
  const std::int64_t element_bytes = std::int64_t(size_bytes(dtype));
  for_each_piece(count, std::max<std::int64_t>(1, group.piece_bytes / element_bytes),
                 [&](std::int64_t begin, int length) {
                   const void* from = in == out ? MPI_IN_PLACE : bytes_at(in, begin * element_bytes);
                   check_mpi(MPI_Allreduce(from, bytes_at(out, begin * element_bytes), length, operation.type(),
                                           operation.op(), group.comm),
                             "MPI_Allreduce");
                 });
}

void mpi_sum_blocks(const MpiGroup& group, DType dtype, const void* in, void* out, std::int64_t count, SumOrder order) {
  if (order == SumOrder::fixed && dtype == DType::float32) {
    return sum_blocks_fixed(group, static_cast<const float*>(in), static_cast<float*>(out), count);
  }
  if (order == SumOrder::fixed && dtype == DType::bfloat16) {
    return sum_blocks_fixed(group, static_cast<const Bf16*>(in), static_cast<Bf16*>(out), count);
  }
  const Operation operation(dtype, Reduction::sum);
  const std::int64_t element_bytes = std::int64_t(size_bytes(dtype));
  const std::int64_t piece = std::max<std::int64_t>(1, group.piece_bytes / element_bytes);
  if (count <= piece) {
    check_mpi(MPI_Reduce_scatter_block(in, out, int(count), operation.type(), operation.op(), group.comm),
              "MPI_Reduce_scatter_block");
    return;
  }
  for (int r = 0; r < group.size; ++r) {  // its blocks would have to lie side by side
    for_each_piece(count, piece, [&](std::int64_t begin, int length) {
      check_mpi(MPI_Reduce(bytes_at(in, (r * count + begin) * element_bytes), bytes_at(out, begin * element_bytes),
                           length, operation.type(), operation.op(), r, group.comm),
                "MPI_Reduce");
    });
  }
}

}  // namespace m2
