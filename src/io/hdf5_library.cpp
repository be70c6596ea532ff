// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_library.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.hpp"
#include "io/hdf5_handle.hpp"
#include "io/hdf5_types.hpp"
#include "io/shape.hpp"

namespace m2 {
namespace {

constexpr const char* kDTypeAttribute = "dtype";
constexpr const char* kHashAttribute = "hash";
constexpr const char* kTextName = "text";

std::string dtype_text(const Hdf5Dataset& dataset) {
  return std::string(dataset.is_text ? kTextName : name(dataset.dtype));
}

Hdf5Handle property_list(hid_t kind) { return Hdf5Handle(H5Pcreate(kind), H5Pclose, "create a property list"); }

// Datasets of at least `alignment_bytes` begin at a multiple of it.
Hdf5Handle file_access(std::uint64_t alignment_bytes) {
  Hdf5Handle access = property_list(H5P_FILE_ACCESS);
  // One format whatever the library's version: readable since 1.10, and the same bits for the same content.
  check_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), "choose the file format");
  check_hdf5(H5Pset_fclose_degree(access, H5F_CLOSE_STRONG), "choose how files are closed");
  // Many parallel file systems have no locks, and then HDF5 would refuse to open the file.
  check_hdf5(H5Pset_file_locking(access, false, true), "switch file locks off");
  check_hdf5(H5Pset_alignment(access, alignment_bytes, alignment_bytes), "align the data");
  return access;
}

Hdf5Handle open_file(const std::string& path, unsigned flags) {
  return Hdf5Handle(H5Fopen(path.c_str(), flags, file_access(1)), H5Fclose, "open '" + path + "'");
}

Hdf5Handle open_dataset(hid_t file, const std::string& dataset) {
  return Hdf5Handle(H5Dopen2(file, dataset.c_str(), H5P_DEFAULT), H5Dclose, "open dataset '" + dataset + "'");
}

// Objects carry no times, so that the same import gives the same file.
Hdf5Handle without_times(hid_t kind) {
  Hdf5Handle properties = property_list(kind);
  check_hdf5(H5Pset_obj_track_times(properties, false), "switch object times off");
  return properties;
}

void create_groups_above(hid_t file, const std::string& dataset, std::set<std::string>& existing) {
  for (std::size_t slash = dataset.find('/', 1); slash != std::string::npos; slash = dataset.find('/', slash + 1)) {
    const std::string group = dataset.substr(0, slash);
    if (!existing.insert(group).second) continue;
    Hdf5Handle(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, without_times(H5P_GROUP_CREATE), H5P_DEFAULT), H5Gclose,
               "create group '" + group + "'");
  }
}

Hdf5Handle dataset_properties() {
  Hdf5Handle properties = without_times(H5P_DATASET_CREATE);
  check_hdf5(H5Pset_layout(properties, H5D_CONTIGUOUS), "choose the layout");
  check_hdf5(H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY), "choose early allocation");
  check_hdf5(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), "switch filling off");
  return properties;
}

void add_dtype(hid_t dataset, const std::string& text) {
  const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "copy a type");
  check_hdf5(H5Tset_size(type, text.size()), "size a string");
  const Hdf5Handle scalar(H5Screate(H5S_SCALAR), H5Sclose, "describe a scalar");
  const Hdf5Handle attribute(H5Acreate2(dataset, kDTypeAttribute, type, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                             "create attribute dtype");
  check_hdf5(H5Awrite(attribute, type, text.data()), "write attribute dtype");
}

void add_hashes(hid_t dataset, std::int64_t num_slabs) {
  const auto extent = hsize_t(num_slabs);
  const Hdf5Handle row(H5Screate_simple(1, &extent, nullptr), H5Sclose, "describe the hashes");
  const Hdf5Handle attribute(H5Acreate2(dataset, kHashAttribute, H5T_STD_U64LE, row, H5P_DEFAULT, H5P_DEFAULT),
                             H5Aclose, "create attribute hash");
  const std::vector<std::uint64_t> zeros(extent);
  check_hdf5(H5Awrite(attribute, H5T_NATIVE_UINT64, zeros.data()), "write attribute hash");
}

std::uint64_t offset_of(hid_t dataset, const std::string& path) {
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) raise_hdf5("find the place of dataset '" + path + "'");
  return offset;
}

void create_dataset(hid_t file, Hdf5Dataset& dataset) {
  const std::vector<hsize_t> extents(dataset.shape.begin(), dataset.shape.end());
  const Hdf5Handle space(H5Screate_simple(int(extents.size()), extents.data(), nullptr), H5Sclose,
                         "describe the shape of '" + dataset.name + "'");
  const Hdf5Handle created(H5Dcreate2(file, dataset.name.c_str(), hdf5_type(dataset.dtype), space, H5P_DEFAULT,
                                      dataset_properties(), H5P_DEFAULT),
                           H5Dclose, "create dataset '" + dataset.name + "'");
  add_dtype(created, dtype_text(dataset));
  add_hashes(created, dataset.num_slabs);
  dataset.offset = offset_of(created, dataset.name);
}

// Names seen while libhdf5 walks through the file. Errors must not be thrown through its C code.
struct Links {
  std::vector<std::string> names;
  std::string refused;
};

herr_t keep_link(hid_t, const char* name, const H5L_info_t* info, void* links_pointer) {
  auto& links = *static_cast<Links*>(links_pointer);
  if (info->type == H5L_TYPE_HARD) {
    links.names.push_back("/" + std::string(name));
  } else {
    links.refused = "/" + std::string(name);
  }
  return 0;
}

Hdf5Handle open_attribute(hid_t dataset, const std::string& path, const char* attribute) {
  return Hdf5Handle(H5Aopen(dataset, attribute, H5P_DEFAULT), H5Aclose,
                    fmt::format("open attribute {} of '{}'", attribute, path));
}

void read_dtype(hid_t dataset, Hdf5Dataset& out) {
  const Hdf5Handle attribute = open_attribute(dataset, out.name, kDTypeAttribute);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose, "read the type of an attribute");
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose, "read the shape of an attribute");
  const bool is_short_text = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                             H5Tget_size(type) <= 64 && H5Sget_simple_extent_npoints(space) == 1;
  M2_REQUIRE(is_short_text, "dataset '{}': attribute dtype must be a short string", out.name);
  std::string text(H5Tget_size(type), '\0');
  check_hdf5(H5Aread(attribute, type, text.data()), "read attribute dtype of '" + out.name + "'");
  out.is_text = text == kTextName;
  out.dtype = out.is_text ? DType::uint8 : parse_dtype(text);

  const Hdf5Handle stored(H5Dget_type(dataset), H5Tclose, "read the type of '" + out.name + "'");
  M2_REQUIRE(H5Tequal(stored, hdf5_type(out.dtype)) > 0, "dataset '{}': its type is not that of its dtype '{}'",
             out.name, text);
}

void read_shape(hid_t dataset, Hdf5Dataset& out) {
  const Hdf5Handle space(H5Dget_space(dataset), H5Sclose, "read the shape of '" + out.name + "'");
  const int rank = check_hdf5(H5Sget_simple_extent_ndims(space), "read the rank of '" + out.name + "'");
  std::vector<hsize_t> extents;
  extents.resize(std::size_t(rank));
  check_hdf5(H5Sget_simple_extent_dims(space, extents.data(), nullptr), "read the shape of '" + out.name + "'");
  out.shape.assign(extents.begin(), extents.end());
  const auto size = checked_size_bytes(out.dtype, out.shape);
  M2_REQUIRE(size && *size > 0, "dataset '{}' has the impossible shape {}", out.name, shape_text(out.shape));
  out.size_bytes = *size;
}

void read_hashes(hid_t dataset, Hdf5Dataset& out) {
  const Hdf5Handle attribute = open_attribute(dataset, out.name, kHashAttribute);
  const Hdf5Handle space(H5Aget_space(attribute), H5Sclose, "read the shape of an attribute");
  out.num_slabs = check_hdf5(H5Sget_simple_extent_npoints(space), "count the hashes of '" + out.name + "'");
  const bool divides =
      out.num_slabs > 0 && (out.shape.empty() ? out.num_slabs == 1 : out.shape[0] % out.num_slabs == 0);
  M2_REQUIRE(divides, "dataset '{}' of shape {} has {} hashes, which do not divide its first axis", out.name,
             shape_text(out.shape), out.num_slabs);
  out.hashes.resize(std::size_t(out.num_slabs));
  check_hdf5(H5Aread(attribute, H5T_NATIVE_UINT64, out.hashes.data()), "read the hashes of '" + out.name + "'");
}

Hdf5Dataset read_dataset(hid_t file, const std::string& path) {
  Hdf5Dataset out;
  out.name = path;
  const Hdf5Handle dataset = open_dataset(file, path);
  const Hdf5Handle properties(H5Dget_create_plist(dataset), H5Pclose, "read the layout of '" + path + "'");
  M2_REQUIRE(H5Pget_layout(properties) == H5D_CONTIGUOUS && H5Pget_external_count(properties) == 0,
             "dataset '{}' does not lie in one piece in this file", path);
  read_dtype(dataset, out);
  read_shape(dataset, out);
  read_hashes(dataset, out);
  out.offset = offset_of(dataset, path);
  return out;
}

H5I_type_t kind_of(hid_t file, const std::string& path) {
  const Hdf5Handle object(H5Oopen(file, path.c_str(), H5P_DEFAULT), H5Oclose, "open '" + path + "'");
  return H5Iget_type(object);
}

}  // namespace

void create_hdf5(const std::string& path, std::uint64_t user_block_bytes, std::uint64_t alignment_bytes,
                 std::vector<Hdf5Dataset>& datasets) {
  const Hdf5Session session;
  const Hdf5Handle creation = without_times(H5P_FILE_CREATE);
  check_hdf5(H5Pset_userblock(creation, user_block_bytes), "set the user block");
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, file_access(alignment_bytes)), H5Fclose,
                  "create '" + path + "'");
  std::set<std::string> groups;
  for (Hdf5Dataset& dataset : datasets) {
    create_groups_above(file, dataset.name, groups);
    create_dataset(file, dataset);
  }
  file.close("write '" + path + "'");
}

void store_hashes(const std::string& path, const std::vector<Hdf5Dataset>& datasets) {
  const Hdf5Session session;
  Hdf5Handle file = open_file(path, H5F_ACC_RDWR);
  for (const Hdf5Dataset& dataset : datasets) {
    const Hdf5Handle opened = open_dataset(file, dataset.name);
    const Hdf5Handle attribute = open_attribute(opened, dataset.name, kHashAttribute);
    check_hdf5(H5Awrite(attribute, H5T_NATIVE_UINT64, dataset.hashes.data()),
               "write the hashes of '" + dataset.name + "'");
  }
  file.close("write '" + path + "'");
}

std::vector<Hdf5Dataset> read_hdf5(const std::string& path, std::uint64_t user_block_bytes) {
  const Hdf5Session session;
  const Hdf5Handle file = open_file(path, H5F_ACC_RDONLY);
  const Hdf5Handle creation(H5Fget_create_plist(file), H5Pclose, "read the properties of '" + path + "'");
  hsize_t user_block = 0;
  check_hdf5(H5Pget_userblock(creation, &user_block), "read the user block of '" + path + "'");
  M2_REQUIRE(user_block == user_block_bytes, "'{}': HDF5 finds a user block of {} bytes, expected {}", path, user_block,
             user_block_bytes);
  Links links;
  check_hdf5(H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, keep_link, &links), "list the datasets of '" + path + "'");
  M2_REQUIRE(links.refused.empty(), "'{}': '{}' is a link to elsewhere, which a checkpoint never has", path,
             links.refused);

  std::vector<Hdf5Dataset> datasets;
  for (const std::string& name : links.names) {
    if (kind_of(file, name) == H5I_GROUP) continue;
    datasets.push_back(read_dataset(file, name));
  }
  return datasets;
}

}  // namespace m2
