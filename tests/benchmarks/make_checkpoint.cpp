// SPDX-License-Identifier: Apache-2.0
// Writes a Hugging Face folder with random weights: in the shapes of MiniMax-M2 with fewer layers and experts, for
// import_bench.sh and load_bench.sh; or of a configuration, as from_config() makes them, for peers
// (docs/performance.md).
#include <fmt/format.h>

#include <Kokkos_Core.hpp>
#include <cstdlib>
#include <exception>
#include <string>

#include "checkpoint/synthetic_checkpoint.hpp"
#include "io/file.hpp"
#include "model/minimax_m2_for_causal_lm.hpp"

namespace {

void write_model_of(const std::string& config_file, const std::string& folder) {
  const Kokkos::ScopeGuard kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
  const auto config = m2::MiniMaxM2Config::from_json(m2::read_text_file(config_file), config_file);
  m2::MiniMaxM2ForCausalLM::from_config(config).save_pretrained(folder);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 5) {
    fmt::print(stderr,
               "usage: {0} FOLDER LAYERS EXPERTS float8_e4m3fn|bfloat16|float32\n       {0} FOLDER CONFIG.json\n",
               argv[0]);
    return 2;
  }
  try {
    if (argc == 3) {
      write_model_of(argv[2], argv[1]);
      return 0;
    }
    m2::MiniMaxM2Config config;
    config.num_hidden_layers = std::atoi(argv[2]);
    config.num_local_experts = std::atoi(argv[3]);
    config.vocab_size = 20'000;  // a small share, as in the whole model
    config.validate("the arguments");
    constexpr std::uint64_t kShardBytes = 2'000'000'000;
    m2::test::write_synthetic_checkpoint(argv[1], config, m2::parse_dtype(argv[4]), kShardBytes);
  } catch (const std::exception& error) {
    fmt::print(stderr, "make_checkpoint: error: {}\n", error.what());
    return 1;
  }
  return 0;
}
