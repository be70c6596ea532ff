// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_handle.hpp"

#include "core/error.hpp"

namespace m2 {
namespace {

std::mutex g_hdf5_mutex;

// The stack is walked from the failing call inwards; the last, innermost entry says why.
herr_t keep_description(unsigned, const H5E_error2_t* entry, void* text) {
  if (entry->desc != nullptr) *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

}  // namespace

Hdf5Session::Hdf5Session() : lock_(g_hdf5_mutex) {
  H5Eget_auto2(H5E_DEFAULT, &old_printer_, &old_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Session::~Hdf5Session() { H5Eset_auto2(H5E_DEFAULT, old_printer_, old_data_); }

void raise_hdf5(const std::string& action) {
  std::string reason = "no reason";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_description, &reason);
  raise("cannot {}: HDF5 says: {}", action, reason);
}

}  // namespace m2
