// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_table.hpp"

#include <nlohmann/json.hpp>

namespace m2 {
namespace {

using Json = nlohmann::json;

Json to_json(const Hdf5Dataset& dataset) {
  return {dataset.name,    int(dataset.dtype), dataset.shape,      dataset.num_slabs,
          dataset.is_text, dataset.offset,     dataset.size_bytes, dataset.hashes};
}

Hdf5Dataset from_json(const Json& json) {
  Hdf5Dataset dataset;
  json[0].get_to(dataset.name);
  dataset.dtype = DType(json[1].get<int>());
  json[2].get_to(dataset.shape);
  json[3].get_to(dataset.num_slabs);
  json[4].get_to(dataset.is_text);
  json[5].get_to(dataset.offset);
  json[6].get_to(dataset.size_bytes);
  json[7].get_to(dataset.hashes);
  return dataset;
}

}  // namespace

// Packed numbers: the released models have 63,000 hashes.
std::string table_text(const Hdf5Table& table) {
  Json datasets = Json::array();
  for (const Hdf5Dataset& dataset : table.datasets) datasets.push_back(to_json(dataset));
  std::string text;
  Json::to_cbor(Json{table.path, table.file_size_bytes, std::move(datasets)}, text);
  return text;
}

Hdf5Table parse_table(std::string_view text) {
  const Json json = Json::from_cbor(text);
  Hdf5Table table{json[0].get<std::string>(), json[1].get<std::uint64_t>(), {}};
  for (const Json& dataset : json[2]) table.datasets.push_back(from_json(dataset));
  return table;
}

}  // namespace m2
