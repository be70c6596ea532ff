// SPDX-License-Identifier: Apache-2.0
// Writes a Hugging Face folder with random weights in the shapes of MiniMax-M2, with fewer layers and experts, for
// import_bench.sh and load_bench.sh.
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <string>

#include "checkpoint/synthetic_checkpoint.hpp"

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: {} FOLDER LAYERS EXPERTS float8_e4m3fn|bfloat16|float32\n", argv[0]);
    return 2;
  }
  try {
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
