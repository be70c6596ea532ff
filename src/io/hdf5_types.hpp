// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "core/dtype.hpp"
#include "io/hdf5_handle.hpp"

namespace m2 {

/// The type a dataset of `dtype` has in the file: numbers that h5dump and h5py print. Both 8-bit floats are bytes,
/// because HDF5 before 2.0 has no type for them and would read e4m3fn's largest numbers as NaN.
Hdf5Handle hdf5_type(DType dtype);

}  // namespace m2
