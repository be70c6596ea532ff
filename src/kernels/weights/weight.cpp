// SPDX-License-Identifier: Apache-2.0
#include "kernels/weights/weight.hpp"

#include <type_traits>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "kernels/panels/panel_layout.hpp"

namespace m2 {

std::int64_t Weight::num_scale_rows(std::int64_t num_rows, int num_row_parts) {
  M2_REQUIRE(num_row_parts > 0 && num_rows % num_row_parts == 0, "weight: {} rows are not {} equal parts", num_rows,
             num_row_parts);
  return num_row_parts * ((num_rows / num_row_parts + kFp8Block - 1) / kFp8Block);
}

std::int64_t Weight::num_scale_columns(std::int64_t num_columns) { return (num_columns + kFp8Block - 1) / kFp8Block; }

int Weight::num_row_parts() const { return num_row_parts_; }

Weight Weight::allocate(const ExecSpace& exec, DType dtype, int num_matrices, int num_rows, int num_columns,
                        const std::string& label, int num_row_parts, WeightLayout layout) {
  M2_REQUIRE(num_matrices >= 0 && num_rows >= 0 && num_columns >= 0, "weight '{}': negative size {} x {} x {}", label,
             num_matrices, num_rows, num_columns);
  M2_REQUIRE(num_row_parts > 0 && num_rows % num_row_parts == 0, "weight '{}': {} rows are not {} equal parts", label,
             num_rows, num_row_parts);
  M2_REQUIRE(layout == WeightLayout::rows || panels_fit(dtype, num_rows, num_columns, num_row_parts),
             "weight '{}': {} rows in {} parts and {} columns of {} do not fit into panels", label, num_rows,
             num_row_parts, num_columns, name(dtype));
  const auto values = Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label);
  Weight weight;
  weight.num_row_parts_ = num_row_parts;
  *weight.layout_ = layout;
  switch (dtype) {
    case DType::float32:
      weight.values_ = View3D<float>(values, num_matrices, num_rows, num_columns);
      break;
    case DType::bfloat16:
      weight.values_ = View3D<Bf16>(values, num_matrices, num_rows, num_columns);
      break;
    case DType::float8_e4m3fn:
      weight.values_ = View3D<Fp8E4M3>(values, num_matrices, num_rows, num_columns);
      weight.scale_inv_ =
          View3D<float>(Kokkos::view_alloc(exec, Kokkos::WithoutInitializing, label + "_scale_inv"), num_matrices,
                        num_scale_rows(num_rows, num_row_parts), num_scale_columns(num_columns));
      break;
    default:
      raise("weight '{}': dtype {} is not supported; supported are float32, bfloat16, float8_e4m3fn", label,
            name(dtype));
  }
  if (std::is_same_v<MemorySpace, HostSpace>) advise_large_pages(weight.data(), std::uint64_t(weight.bytes()));
  return weight;
}

Weight Weight::without_memory(DType dtype, int num_matrices, int num_rows, int num_columns) {
  Weight weight;
  switch (dtype) {
    case DType::float32:
      weight.values_ = View3D<float>(nullptr, num_matrices, num_rows, num_columns);
      break;
    case DType::bfloat16:
      weight.values_ = View3D<Bf16>(nullptr, num_matrices, num_rows, num_columns);
      break;
    case DType::float8_e4m3fn:
      weight.values_ = View3D<Fp8E4M3>(nullptr, num_matrices, num_rows, num_columns);
      break;
    default:
      raise("weight without memory: dtype {} is not supported; supported are float32, bfloat16, float8_e4m3fn",
            name(dtype));
  }
  return weight;
}

DType Weight::dtype() const {
  return std::visit([](const auto& values) { return kDTypeOf<typename std::decay_t<decltype(values)>::value_type>; },
                    values_);
}

int Weight::num_matrices() const {
  return std::visit([](const auto& values) { return values.extent_int(0); }, values_);
}

int Weight::num_rows() const {
  return std::visit([](const auto& values) { return values.extent_int(1); }, values_);
}

int Weight::num_columns() const {
  return std::visit([](const auto& values) { return values.extent_int(2); }, values_);
}

template <class W>
View3D<W> Weight::values() const {
  const auto* values = std::get_if<View3D<W>>(&values_);
  M2_REQUIRE(values != nullptr, "weight: {} was asked for, {} is held", name(kDTypeOf<W>), name(dtype()));
  M2_REQUIRE(layout() == WeightLayout::rows,
             "weight: rows were asked for, and its values lie in panels; call set_layout(exec, WeightLayout::rows) or "
             "the model's deinterleave_weights() before");
  return *values;
}

Weight Weight::matrix(int i) const {
  M2_REQUIRE(i >= 0 && i < num_matrices(), "weight: matrix {} was asked for, there are {}", i, num_matrices());
  const auto only = [i](const auto& stack) {
    using View = std::decay_t<decltype(stack)>;
    if (stack.data() == nullptr) return View(nullptr, 1, stack.extent(1), stack.extent(2));
    return View(stack.data() + std::int64_t(i) * stack.extent(1) * stack.extent(2), 1, stack.extent(1),
                stack.extent(2));
  };
  Weight weight = *this;
  weight.is_part_ = true;
  weight.values_ = std::visit([&](const auto& values) -> decltype(values_) { return only(values); }, values_);
  weight.scale_inv_ = only(scale_inv_);
  return weight;
}

void Weight::set_layout(const ExecSpace& exec, WeightLayout layout) {
  if (layout == *layout_) return;
  M2_REQUIRE(!is_part_, "weight: one matrix of a stack cannot be laid out in another way than the others");
  M2_REQUIRE(panels_fit(dtype(), num_rows(), num_columns(), num_row_parts()),
             "weight: {} matrices of {} x {} in {} cannot be laid out in panels", num_matrices(), num_rows(),
             num_columns(), name(dtype()));
  rearrange_panels(exec, dtype(), num_columns(), std::int64_t(num_matrices()) * num_rows() / kPanelRows, layout,
                   data());
  *layout_ = layout;
}

std::byte* Weight::data() const {
  return std::visit([](const auto& values) { return reinterpret_cast<std::byte*>(values.data()); }, values_);
}

std::int64_t Weight::bytes() const {
  return std::visit(
      [](const auto& values) {
        using Value = typename std::decay_t<decltype(values)>::value_type;
        return std::int64_t(values.size() * sizeof(Value));
      },
      values_);
}

template View3D<float> Weight::values<float>() const;
template View3D<Bf16> Weight::values<Bf16>() const;
template View3D<Fp8E4M3> Weight::values<Fp8E4M3>() const;

}  // namespace m2
