// SPDX-License-Identifier: Apache-2.0
// Files that libhdf5 wrote well and this project would not: other types, shapes, layouts, attributes and links, under a
// right manifest of checksums. Each opens as a checkpoint or gives an Error. The input chooses what is in the file.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzz/scratch_file.hpp"
#include "io/file.hpp"
#include "io/hdf5_handle.hpp"
#include "io/hdf5_manifest.hpp"

namespace {

using m2::Hdf5Handle;

constexpr hsize_t kUserBlockBytes = 512;

// The input as a row of small choices; after its end, the first of each.
class Choices {
 public:
  explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::size_t below(std::size_t count) {
    if (bytes_.empty()) return 0;
    const std::size_t choice = bytes_.front() % count;
    bytes_ = bytes_.subspan(1);
    return choice;
  }
  template <class T, std::size_t N>
  const T& of(const std::array<T, N>& list) {
    return list[below(N)];
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

Hdf5Handle any_type(Choices& choices) {
  const std::array types{H5T_IEEE_F32LE, H5T_STD_U8LE, H5T_STD_U64LE, H5T_IEEE_F64BE, H5T_STD_I16LE, H5T_C_S1};
  Hdf5Handle type(H5Tcopy(choices.of(types)), H5Tclose, "copy a type");
  if (H5Tget_class(type) != H5T_STRING) return type;
  constexpr std::array<std::size_t, 4> kSizes{7, 4, 300, H5T_VARIABLE};
  m2::check_hdf5(H5Tset_size(type, choices.of(kSizes)), "size a string");
  return type;
}

Hdf5Handle any_space(Choices& choices, bool may_be_large) {
  if (choices.below(5) == 1) return Hdf5Handle(H5Screate(H5S_NULL), H5Sclose, "describe nothing");
  constexpr std::array<hsize_t, 6> kExtents{1, 2, 3, 0, 64, hsize_t{1} << 40};
  std::vector<hsize_t> extents(choices.below(4));
  for (hsize_t& extent : extents) extent = kExtents[choices.below(may_be_large ? 6 : 5)];
  return Hdf5Handle(H5Screate_simple(int(extents.size()), extents.data(), nullptr), H5Sclose, "describe a shape");
}

// Its bytes are a name of a dtype, over and over.
void add_attribute(hid_t object, const char* name, Choices& choices) {
  if (choices.below(8) == 7) return;
  const Hdf5Handle type = any_type(choices), space = any_space(choices, /*may_be_large=*/false);
  const Hdf5Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "create it");
  const std::array<std::string, 5> words{"float32", "uint8", "text", "int16", "bfloat16"};
  const std::size_t size_bytes = H5Tget_size(type) * std::size_t(H5Sget_simple_extent_npoints(space));
  if (H5Tis_variable_str(type) > 0 || size_bytes == 0 || size_bytes > 4096) return;
  std::string content, word = choices.of(words);
  word.resize(std::max(word.size(), H5Tget_size(type)), '\0');
  while (content.size() < size_bytes) content += word.substr(0, H5Tget_size(type));
  m2::check_hdf5(H5Awrite(attribute, type, content.data()), "write it");
}

void add_dataset(hid_t file, const std::string& name, Choices& choices, std::vector<m2::Extent>& extents) {
  const Hdf5Handle type = any_type(choices), space = any_space(choices, /*may_be_large=*/true);
  const Hdf5Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "create properties");
  const std::array layouts{H5D_CONTIGUOUS, H5D_COMPACT, H5D_CHUNKED};
  const H5D_layout_t layout = choices.of(layouts);
  H5Pset_layout(properties, layout);
  const std::array<hsize_t, 4> chunk{1, 1, 1, 1};
  if (layout == H5D_CHUNKED) H5Pset_chunk(properties, std::max(H5Sget_simple_extent_ndims(space), 1), chunk.data());
  const bool is_small = H5Sget_simple_extent_npoints(space) <= 4096;
  H5Pset_alloc_time(properties, is_small && choices.below(4) != 3 ? H5D_ALLOC_TIME_EARLY : H5D_ALLOC_TIME_LATE);
  const Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "create properties");
  H5Pset_create_intermediate_group(links, 1);
  const Hdf5Handle dataset(H5Dcreate2(file, name.c_str(), type, space, links, properties, H5P_DEFAULT), H5Dclose,
                           "create a dataset");
  add_attribute(dataset, "dtype", choices);
  add_attribute(dataset, "hash", choices);
  const std::uint64_t offset = H5Dget_offset(dataset), size_bytes = H5Dget_storage_size(dataset);
  if (offset != HADDR_UNDEF && size_bytes > 0) extents.push_back({offset, size_bytes});
}

void add_object(hid_t file, Choices& choices, std::vector<m2::Extent>& extents) {
  const std::array<std::string, 4> names{"config", "model/norm", "model/layers/0/experts", "a b"};
  const std::string& name = choices.of(names);
  switch (choices.below(8)) {
    case 5:
      H5Lcreate_soft("/config", file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
      break;
    case 6:
      H5Lcreate_external("/nowhere.h5", "/config", file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT);
      break;
    case 7:
      H5Tcommit2(file, name.c_str(), any_type(choices), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
      break;
    default:
      add_dataset(file, name, choices, extents);
  }
}

std::vector<m2::Extent> create(const std::string& path, Choices& choices) {
  const m2::Hdf5Session session;
  const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "create properties");
  H5Pset_userblock(creation, kUserBlockBytes);
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "create properties");
  H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
  const Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose, "create the file");
  std::vector<m2::Extent> extents;
  for (std::size_t i = 1 + choices.below(4); i > 0; --i) add_object(file, choices, extents);
  return extents;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const m2::fuzz::ScratchFile file;
  Choices choices({data, size});
  std::vector<m2::Extent> extents;
  try {
    extents = create(file.path(), choices);
  } catch (const m2::Error&) {  // libhdf5 would not make that
    return 0;
  }
  m2::write_manifest(m2::File(file.path(), m2::File::Mode::update), {kUserBlockBytes, extents});
  file.open_and_read();
  return 0;
}
