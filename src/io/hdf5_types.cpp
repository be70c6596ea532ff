// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_types.hpp"

#include "core/error.hpp"

namespace m2 {
namespace {

Hdf5Handle copy(hid_t type) { return Hdf5Handle(H5Tcopy(type), H5Tclose, "copy a type"); }

// A 16-bit float: the sign above the exponent above the mantissa.
Hdf5Handle float16_type(std::size_t exponent_bits, std::size_t exponent_bias) {
  const std::size_t mantissa_bits = 15 - exponent_bits;
  Hdf5Handle type = copy(H5T_IEEE_F32LE);
  check_hdf5(H5Tset_fields(type, 15, mantissa_bits, exponent_bits, 0, mantissa_bits),
             "place the bits of a 16-bit float");
  check_hdf5(H5Tset_size(type, 2), "size a 16-bit float");
  check_hdf5(H5Tset_ebias(type, exponent_bias), "bias a 16-bit float");
  return type;
}

}  // namespace

Hdf5Handle hdf5_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return copy(H5T_IEEE_F32LE);
    case DType::float64:
      return copy(H5T_IEEE_F64LE);
    case DType::bfloat16:
      return float16_type(8, 127);
    case DType::float16:
      return float16_type(5, 15);
    case DType::int8:
      return copy(H5T_STD_I8LE);
    case DType::int16:
      return copy(H5T_STD_I16LE);
    case DType::int32:
      return copy(H5T_STD_I32LE);
    case DType::int64:
      return copy(H5T_STD_I64LE);
    case DType::uint16:
      return copy(H5T_STD_U16LE);
    case DType::uint32:
      return copy(H5T_STD_U32LE);
    case DType::uint64:
      return copy(H5T_STD_U64LE);
    case DType::uint8:
    case DType::boolean:
    case DType::float8_e4m3fn:
    case DType::float8_e5m2:
      return copy(H5T_STD_U8LE);
  }
  raise("dtype {} has no HDF5 type", int(dtype));
}

}  // namespace m2
