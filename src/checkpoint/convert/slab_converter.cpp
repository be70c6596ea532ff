// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/convert/slab_converter.hpp"

#include <algorithm>
#include <span>

#include "checkpoint/float_bands.hpp"
#include "core/error.hpp"
#include "core/stop_signal.hpp"
#include "kernels/weights/quantize.hpp"

namespace m2 {
namespace {

// Writes one slab of one tensor from front to back.
class SlabWriter {
 public:
  SlabWriter(TensorSink& sink, std::size_t index, const Slab& slab)
      : sink_(sink), index_(index), slab_(slab.index), position_(slab.byte_offset()) {}

  template <class T>
  void write(std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    hash_.update(bytes);
    sink_.write(index_, position_, bytes);
    position_ += bytes.size();
  }

  void finish() { sink_.set_hash(index_, slab_, hash_.digest()); }

 private:
  TensorSink& sink_;
  std::size_t index_;
  std::int64_t slab_;
  std::uint64_t position_;  // within the tensor
  Hash64 hash_;
};

void round_bands(const HostExecSpace& exec, FloatBands& bands, SlabWriter& out) {
  std::vector<Bf16> rounded;
  for (FloatBand band = bands.next(exec); band.num_rows > 0; band = bands.next(exec)) {
    rounded.resize(band.values.size());
    convert_values<float, Bf16>(exec, band.values, rounded);
    out.write(std::span<const Bf16>(rounded));
  }
}

void quantize_bands(const HostExecSpace& exec, FloatBands& bands, SlabWriter& out, SlabWriter& out_scales) {
  std::vector<Fp8E4M3> quantized;
  std::vector<float> scale_inv;
  const auto num_blocks = [](int extent) { return std::size_t((extent + kFp8Block - 1) / kFp8Block); };
  for (FloatBand band = bands.next(exec); band.num_rows > 0; band = bands.next(exec)) {
    quantized.resize(band.values.size());
    scale_inv.resize(num_blocks(band.num_rows) * num_blocks(band.num_columns));
    quantize_fp8_blocks(exec, band.values, band.num_rows, band.num_columns, quantized, scale_inv);
    out.write(std::span<const Fp8E4M3>(quantized));
    out_scales.write(std::span<const float>(scale_inv));
  }
}

}  // namespace

void copy_slab(const TensorSource& source, const Slab& from, ReadWatch watch, TensorSink& sink, std::size_t to) {
  thread_local std::vector<std::byte> buffer(kChunkBytes);
  SlabReader reader(source, *from.tensor, from.index, watch);
  std::uint64_t position = from.byte_offset();
  while (reader.remaining_bytes() > 0) {
    const auto chunk = std::span(buffer).first(std::min<std::uint64_t>(kChunkBytes, reader.remaining_bytes()));
    reader.read(chunk);
    sink.write(to, position, chunk);
    position += chunk.size();
  }
  sink.set_hash(to, from.index, reader.finish());
}

void convert_slab(const HostExecSpace& exec, const TensorSource& source, const Slab& from, ReadWatch watch,
                  TensorSink& sink, std::size_t to, const std::vector<StoredTensor>& planned) {
  FloatBands bands(source, *from.tensor, from.index, watch);
  SlabWriter out(sink, to, {&planned[to], from.index});
  switch (planned[to].dtype) {
    case DType::float32:
      for (FloatBand band = bands.next(exec); band.num_rows > 0; band = bands.next(exec)) out.write(band.values);
      break;
    case DType::bfloat16:
      round_bands(exec, bands, out);
      break;
    case DType::float8_e4m3fn: {
      SlabWriter out_scales(sink, to + 1, {&planned[to + 1], from.index});
      try {
        quantize_bands(exec, bands, out, out_scales);
      } catch (const Interrupted&) {
        throw;
      } catch (const Error& error) {
        raise("{} cannot be quantised: {}", from.tensor->name, error.what());
      }
      out_scales.finish();
      break;
    }
    default:
      raise("{} cannot be written as {}", from.tensor->name, m2::name(planned[to].dtype));
  }
  out.finish();
}

}  // namespace m2
