// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/dtype.hpp"
#include "core/error.hpp"
#include "core/views.hpp"

namespace m2 {

enum class Reduction { sum, max, min };

/// In which order a floating-point sum over ranks is taken. `fixed`: a binary tree over the ranks' numbers, so that a
/// layout always gives the same bits, whatever the transport; every rank's addend crosses the network. `fast`: the
/// library's own algorithm; bits may differ between runs, libraries and message sizes.
enum class SumOrder { fixed, fast };

/// An exchange under way. Its buffers belong to it until wait().
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// What is enqueued on `exec` from now on sees the received data. Throws Error when the exchange failed.
  virtual void wait(const ExecSpace& exec) = 0;
};

/// A group of ranks that call the same collectives in the same order. One contract for its three forms: one rank alone,
/// MPI, and NCCL on the execution instance's CUDA stream.
///
/// Arrays lie in MemorySpace. Work enqueued on `exec` before a call is seen by it; work enqueued after it sees the
/// result (MPI waits for the instance, NCCL joins its stream). Counts are of elements and may exceed 2^31. in and out
/// must not overlap unless they are the same. Every function throws Error, with this rank and the library's words, when
/// the library reports a failure; a rank that dies ends the others (comm/session.hpp).
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// out[i] = the reduction of every rank's in[i]. float, Bf16 (added in float, rounded once at the end with
  /// SumOrder::fixed), std::int32_t, std::int64_t. Maxima and minima are exact; a NaN of any rank stays.
  template <class T>
  void all_reduce(const ExecSpace& exec, View1D<const T> in, View1D<T> out, Reduction reduction,
                  SumOrder order = SumOrder::fixed);

  /// out[i] = the sum of every rank's in[rank() * n + i], where n is out's extent and in has size() * n elements. The
  /// types of all_reduce.
  template <class T>
  void reduce_scatter(const ExecSpace& exec, View1D<const T> in, View1D<T> out, SumOrder order = SumOrder::fixed);

  /// out = every rank's `in`, one after the other; the same extent on every rank. Any type without pointers.
  template <class T>
  void all_gather(const ExecSpace& exec, View1D<const T> in, View1D<T> out);

  /// out = what `root` has there.
  template <class T>
  void broadcast(const ExecSpace& exec, View1D<T> inout, int root);

  /// Rows of `width` elements: send_rows[r] rows of `in` go to rank r, in order; recv_rows[r] rows come from rank r and
  /// lie in `out` in the order of the ranks. recv_rows must be what the others send (exchange()). Views may be larger.
  template <class T>
  std::unique_ptr<Transfer> start_all_to_all_v(const ExecSpace& exec, View2D<const T> in,
                                               std::span<const std::int64_t> send_rows, View2D<T> out,
                                               std::span<const std::int64_t> recv_rows);
  template <class T>
  void all_to_all_v(const ExecSpace& exec, View2D<const T> in, std::span<const std::int64_t> send_rows, View2D<T> out,
                    std::span<const std::int64_t> recv_rows) {
    start_all_to_all_v<T>(exec, in, send_rows, out, recv_rows)->wait(exec);
  }

  /// Returns when every rank has called it.
  virtual void barrier() = 0;

  // Small values on the host.

  /// Element r * n + i is rank r's values[i]; n is the same on every rank.
  virtual std::vector<std::int64_t> all_gather_values(std::span<const std::int64_t> values) = 0;
  /// out[r * n + i] = what rank r has at values[rank() * n + i], for size() * n values.
  virtual std::vector<std::int64_t> exchange(std::span<const std::int64_t> values) = 0;
  /// The largest of every rank's values, one by one.
  virtual std::vector<std::int64_t> max_values(std::span<const std::int64_t> values) = 0;
  /// The sum of every rank's values, one by one.
  std::vector<std::int64_t> sum_values(std::span<const std::int64_t> values);
  /// Element r is rank r's text; any length.
  virtual std::vector<std::string> all_gather_texts(const std::string& text) = 0;
  /// What `root` passes; any length.
  virtual std::string broadcast_text(const std::string& text, int root) = 0;

  /// The ranks that pass the same colour, in the order of their numbers here. Collective.
  virtual std::unique_ptr<Communicator> split(int color) = 0;
  /// The ranks on this rank's host. Collective.
  virtual std::unique_ptr<Communicator> split_by_host() = 0;

  /// "one rank", "MPI", "NCCL".
  virtual const char* kind() const = 0;

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}

 private:
  // The functions above without types: `count` in elements of `dtype`, the others in bytes. Both vectors of
  // start_exchange have an entry for each rank, and the own ones are equal.
  virtual void reduce(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                      Reduction reduction, SumOrder order) = 0;
  virtual void sum_blocks(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                          SumOrder order) = 0;
  virtual void gather_bytes(const ExecSpace& exec, const std::byte* in, std::byte* out, std::int64_t bytes) = 0;
  virtual void broadcast_bytes(const ExecSpace& exec, std::byte* inout, std::int64_t bytes, int root) = 0;
  virtual std::unique_ptr<Transfer> start_exchange(const ExecSpace& exec, const std::byte* in,
                                                   const std::vector<std::int64_t>& send_bytes, std::byte* out,
                                                   const std::vector<std::int64_t>& recv_bytes) = 0;

  // Bytes that each rank's rows take. Throws Error unless there is a count for each rank and the rows fit into a view
  // of `num_rows`.
  std::vector<std::int64_t> bytes_of_rows(const char* name, std::span<const std::int64_t> rows, std::int64_t num_rows,
                                          std::int64_t row_bytes) const;
  void require_root(int root) const;

  int rank_, size_;
};

template <class T>
void Communicator::all_gather(const ExecSpace& exec, View1D<const T> in, View1D<T> out) {
  static_assert(std::is_trivially_copyable_v<T>);
  M2_REQUIRE(out.extent(0) == in.extent(0) * std::size_t(size_),
             "all_gather: out has {} elements; {} ranks with {} each need {}", out.extent(0), size_, in.extent(0),
             in.extent(0) * std::size_t(size_));
  gather_bytes(exec, reinterpret_cast<const std::byte*>(in.data()), reinterpret_cast<std::byte*>(out.data()),
               std::int64_t(in.extent(0) * sizeof(T)));
}

template <class T>
void Communicator::broadcast(const ExecSpace& exec, View1D<T> inout, int root) {
  static_assert(std::is_trivially_copyable_v<T>);
  require_root(root);
  broadcast_bytes(exec, reinterpret_cast<std::byte*>(inout.data()), std::int64_t(inout.extent(0) * sizeof(T)), root);
}

template <class T>
std::unique_ptr<Transfer> Communicator::start_all_to_all_v(const ExecSpace& exec, View2D<const T> in,
                                                           std::span<const std::int64_t> send_rows, View2D<T> out,
                                                           std::span<const std::int64_t> recv_rows) {
  static_assert(std::is_trivially_copyable_v<T>);
  M2_REQUIRE(in.extent(1) == out.extent(1), "all_to_all_v: in has {} columns, out {}; both need the same", in.extent(1),
             out.extent(1));
  const std::int64_t row_bytes = std::int64_t(in.extent(1) * sizeof(T));
  const auto send_bytes = bytes_of_rows("send_rows", send_rows, std::int64_t(in.extent(0)), row_bytes);
  const auto recv_bytes = bytes_of_rows("recv_rows", recv_rows, std::int64_t(out.extent(0)), row_bytes);
  M2_REQUIRE(send_rows[rank_] == recv_rows[rank_],
             "all_to_all_v: rank {} sends itself {} rows and expects {}; both need the same", rank_, send_rows[rank_],
             recv_rows[rank_]);
  return start_exchange(exec, reinterpret_cast<const std::byte*>(in.data()), send_bytes,
                        reinterpret_cast<std::byte*>(out.data()), recv_bytes);
}

}  // namespace m2
