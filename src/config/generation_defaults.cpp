// SPDX-License-Identifier: Apache-2.0
#include "config/generation_defaults.hpp"

#include <limits>

#include "config/json_object.hpp"

namespace m2 {

GenerationDefaults GenerationDefaults::from_json(std::string_view text, const std::string& source) {
  constexpr int kMaxInt = std::numeric_limits<int>::max();
  const JsonObject object = JsonObject::parse(text, source);
  GenerationDefaults defaults;
  defaults.do_sample = object.find_bool("do_sample");
  defaults.temperature = object.find_real("temperature", 0.0, 100.0);
  defaults.top_p = object.find_real("top_p", 0.0, 1.0);
  if (const auto top_k = object.find_whole("top_k", 0, kMaxInt)) defaults.top_k = int(*top_k);
  if (const auto bos = object.find_whole("bos_token_id", 0, kMaxInt)) defaults.bos_token_id = int(*bos);
  defaults.eos_token_id = object.whole_or_list("eos_token_id", 0, kMaxInt);
  return defaults;
}

}  // namespace m2
