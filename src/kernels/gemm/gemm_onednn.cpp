// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/gemm/gemm_providers.hpp"

namespace m2 {
namespace {

/// A batch of one row takes another path through oneDNN than larger ones, with other bits: it is run with a second row.
constexpr int kMinRows = 2;
/// Each primitive holds some 10 KB of generated code; expert batches come in any number of rows.
constexpr std::size_t kMaxPrimitives = 1024;

dnnl::memory::data_type onednn_type(DType dtype) {
  return dtype == DType::bfloat16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// oneDNN's engine for the processor, kept from AMX: with it, an output in bfloat16 is summed in an order that depends
/// on the number of rows and threads (seen with 3.7.2 and 3072 columns: 2 of 12288 outputs differ with 8 rows, 0.01 %
/// with 256), which breaks the promise of gemm.hpp; with AVX-512 BF16 it is not. oneDNN obeys only before its first
/// look at the processor. Where something else in the program made it look, the call changes nothing, and
/// onednn_instructions(), which asks oneDNN what it uses, shows AMX.
dnnl::engine engine_without_amx() {
  dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
  return dnnl::engine(dnnl::engine::kind::cpu, 0);
}

struct MatmulShape {
  int num_rows, num_outputs, num_columns;
  DType in, out;
  auto operator<=>(const MatmulShape&) const = default;
};

/// oneDNN's CPU engine and the primitives made so far.
class MatmulCache {
 public:
  static MatmulCache& instance() {
    static MatmulCache cache;
    return cache;
  }

  /// y = x w^T on (num_rows, num_columns), (num_outputs, num_columns) and (num_rows, num_outputs) arrays; waits for it.
  void execute(const MatmulShape& shape, const void* x, const void* w, void* y) {
    const std::lock_guard lock(mutex_);
    dnnl::matmul& matmul = find_or_create(shape);
    dnnl::memory x_memory(x_desc(shape), engine_, const_cast<void*>(x));
    dnnl::memory w_memory(w_desc(shape), engine_, const_cast<void*>(w));
    dnnl::memory y_memory(y_desc(shape), engine_, y);
    matmul.execute(stream_, {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_WEIGHTS, w_memory}, {DNNL_ARG_DST, y_memory}});
    stream_.wait();
  }

 private:
  using Tag = dnnl::memory::format_tag;

  static dnnl::memory::desc x_desc(const MatmulShape& shape) {
    return {{shape.num_rows, shape.num_columns}, onednn_type(shape.in), Tag::ab};
  }
  static dnnl::memory::desc w_desc(const MatmulShape& shape) {
    return {{shape.num_columns, shape.num_outputs}, onednn_type(shape.in), Tag::ba};
  }
  static dnnl::memory::desc y_desc(const MatmulShape& shape) {
    return {{shape.num_rows, shape.num_outputs}, onednn_type(shape.out), Tag::ab};
  }

  dnnl::matmul& find_or_create(const MatmulShape& shape) {
    if (const auto found = primitives_.find(shape); found != primitives_.end()) return found->second;
    if (primitives_.size() >= kMaxPrimitives) primitives_.clear();
    dnnl::primitive_attr attributes;
    attributes.set_accumulation_mode(dnnl::accumulation_mode::strict);
    attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
    const dnnl::matmul::primitive_desc description(engine_, x_desc(shape), w_desc(shape), y_desc(shape), attributes);
    return primitives_.emplace(shape, dnnl::matmul(description)).first->second;
  }

  std::mutex mutex_;
  dnnl::engine engine_ = engine_without_amx();
  dnnl::stream stream_{engine_};
  std::map<MatmulShape, dnnl::matmul> primitives_;
};

/// The rows of one group; fewer than kMinRows go through the workspace, with rows of zeros behind them.
template <class T, class Out>
void multiply_group(const T* x_MK, const T* w_NK, int num_rows, int num_outputs, int num_columns, std::byte* workspace,
                    Out* y_MN) {
  const MatmulShape shape{std::max(num_rows, kMinRows), num_outputs, num_columns, kDTypeOf<T>, kDTypeOf<Out>};
  if (num_rows >= kMinRows) return MatmulCache::instance().execute(shape, x_MK, w_NK, y_MN);
  const std::int64_t x_size = std::int64_t(num_rows) * num_columns, y_size = std::int64_t(num_rows) * num_outputs;
  Out* const padded_y = reinterpret_cast<Out*>(workspace);
  T* const padded_x = reinterpret_cast<T*>(padded_y + std::int64_t(kMinRows) * num_outputs);
  std::copy_n(x_MK, x_size, padded_x);
  std::fill(padded_x + x_size, padded_x + std::int64_t(kMinRows) * num_columns, T(0.0f));
  MatmulCache::instance().execute(shape, padded_x, w_NK, padded_y);
  std::copy_n(padded_y, y_size, y_MN);
}

}  // namespace

std::optional<OnednnInstructions> onednn_instructions() {
  MatmulCache::instance();
  const auto used = unsigned(dnnl::get_effective_cpu_isa());  // each set contains the bits of those below it
  const auto has = [used](dnnl::cpu_isa needed) { return (used & unsigned(needed)) == unsigned(needed); };
  return OnednnInstructions{.avx512 = has(dnnl::cpu_isa::avx512_core),
                            .avx512_bf16 = has(dnnl::cpu_isa::avx512_core_bf16),
                            .amx = has(dnnl::cpu_isa::avx512_core_amx)};
}

std::int64_t onednn_workspace_bytes(int num_rows, int num_columns) {
  return (std::int64_t(num_rows) + num_columns) * kMinRows * std::int64_t(sizeof(float));
}

template <class T, class Out>
void gemm_onednn(const ExecSpace& exec, View2D<const T> x_RK, const Weight& w_ENK, View1D<const int> offset_E1,
                 View1D<std::byte> workspace, View2D<Out> y_RN) {
  const std::int64_t num_columns = x_RK.extent(1), num_outputs = y_RN.extent(1);
  const View3D<const T> values_ENK = w_ENK.values<T>();
  exec.fence("m2::gemm::onednn");  // oneDNN's threads know nothing of the instance's queue
  const std::vector<int> offsets = offsets_on_host(exec, offset_E1, x_RK.extent_int(0));
  for (std::int64_t e = 0; e + 1 < std::int64_t(offsets.size()); ++e) {
    const int begin = offsets[e], num_rows = offsets[e + 1] - begin;
    if (num_rows == 0) continue;
    multiply_group(x_RK.data() + begin * num_columns, values_ENK.data() + e * num_outputs * num_columns, num_rows,
                   int(num_outputs), int(num_columns), workspace.data(), y_RN.data() + begin * num_outputs);
  }
}

#define M2_INSTANTIATE_GEMM_ONEDNN(T, Out)                                                                          \
  template void gemm_onednn(const ExecSpace&, View2D<const T>, const Weight&, View1D<const int>, View1D<std::byte>, \
                            View2D<Out>)
M2_FOR_GEMM_TYPES(M2_INSTANTIATE_GEMM_ONEDNN);
#undef M2_INSTANTIATE_GEMM_ONEDNN

}  // namespace m2
