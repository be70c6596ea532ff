// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.hpp"
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
  /// SumOrder::fixed), std::int32_t, std::int64_t.
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
  // The functions above without types; sizes and offsets in elements of `dtype`, or in bytes.
  virtual void reduce(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                      Reduction reduction, SumOrder order) = 0;
  virtual void reduce_scatter(const ExecSpace& exec, DType dtype, const void* in, void* out, std::int64_t count,
                              SumOrder order) = 0;
  virtual void gather_bytes(const ExecSpace& exec, const std::byte* in, std::byte* out, std::int64_t bytes) = 0;
  virtual void broadcast_bytes(const ExecSpace& exec, std::byte* inout, std::int64_t bytes, int root) = 0;
  virtual std::unique_ptr<Transfer> start_exchange_bytes(const ExecSpace& exec, const std::byte* in,
                                                         std::span<const std::int64_t> send_bytes, std::byte* out,
                                                         std::span<const std::int64_t> recv_bytes) = 0;

  int rank_, size_;
};

}  // namespace m2
