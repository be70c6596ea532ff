// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "io/hdf5.hpp"
#include "io/temporary_folder.hpp"

namespace m2::test {

/// Text, norm and experts of a tiny checkpoint, with the content of each.
struct Hdf5Example {
  std::vector<Hdf5DatasetPlan> plans{text_plan("/config", 13),
                                     {"/model/norm", DType::bfloat16, {4}},
                                     {"/model/layers/0/moe/experts/down", DType::float8_e4m3fn, {3, 2, 5}, 3},
                                     {"/model/layers/0/moe/experts/down_scale_inv", DType::float32, {3, 1, 1}, 3},
                                     {"/model/scalar", DType::float64, {}}};
  std::vector<std::string> contents;

  Hdf5Example() {
    contents.push_back("{\"a\": \"text\"}");
    contents.emplace_back("\x80\x3f\x00\xc0\x49\x40\x80\x7f", 8);  // 1, -2, 3.140625, infinity
    contents.emplace_back();
    for (int i = 0; i < 30; ++i) contents.back() += char(8 * i);
    contents.emplace_back("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40", 12);  // 1, 2, 3
    contents.emplace_back("\0\0\0\0\0\0\xf0\x3f", 8);                 // 1
  }

  void write(const std::string& path) const {
    Hdf5Writer writer(path, plans);
    for (std::size_t i = 0; i < plans.size(); ++i) writer.write_all(i, bytes_of(contents[i]));
    writer.finish();
  }
};

inline std::string read_all(const Hdf5Reader& reader, const Hdf5Dataset& dataset) {
  std::string out(dataset.size_bytes, '\0');
  reader.read_slabs(dataset, 0, dataset.num_slabs, std::as_writable_bytes(std::span(out)));
  return out;
}

}  // namespace m2::test
