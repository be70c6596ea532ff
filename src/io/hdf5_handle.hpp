// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

namespace m2 {

/// While it lives, no other thread of KokkosM2 uses libhdf5, which is usually built without thread safety, and the
/// library prints no errors of its own.
class Hdf5Session {
 public:
  Hdf5Session();
  ~Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t old_printer_ = nullptr;
  void* old_data_ = nullptr;
};

/// Throws Error "cannot <action>: HDF5 says: ...".
[[noreturn]] void raise_hdf5(const std::string& action);

/// Returns `result` unless it is HDF5's sign of failure, a negative number: then throws as raise_hdf5 does.
template <class Result>
Result check_hdf5(Result result, const std::string& action) {
  static_assert(std::is_signed_v<Result>, "unsigned results have failure values of their own");
  if (result < 0) raise_hdf5(action);
  return result;
}

/// Owns an identifier of libhdf5. Throws Error as raise_hdf5 does if `action`, which gave it, failed.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle(hid_t id, Close close_function, const std::string& action)
      : id_(check_hdf5(id, action)), close_(close_function) {}
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&&) = delete;

  operator hid_t() const { return id_; }

  /// Closes now and throws if that fails: closing a file writes what is left of it.
  void close(const std::string& action) { check_hdf5(close_(std::exchange(id_, -1)), action); }

 private:
  hid_t id_;
  Close close_;
};

}  // namespace m2
