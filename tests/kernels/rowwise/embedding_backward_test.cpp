// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "core/error.hpp"
#include "kernels/central_difference.hpp"
#include "kernels/operation.hpp"
#include "kernels/rowwise/embedding.hpp"
#include "support/exec.hpp"

namespace m2::test {
namespace {

template <class T>
class EmbeddingBackward : public ::testing::Test {};
using StorageTypes = ::testing::Types<float, Bf16>;
TYPED_TEST_SUITE(EmbeddingBackward, StorageTypes);

template <class T>
std::vector<float> gradient(const ExecSpace& on, const std::vector<int>& token, const std::vector<float>& dout,
                            const std::vector<float>& before, int vocabulary, int width) {
  const View2D<float> dtable_VD = to_device<float>(before, vocabulary, width);
  const int num_tokens = int(token.size());
  const View1D<int> scratch("test::scratch", embedding_backward_scratch(num_tokens, vocabulary));
  Kokkos::deep_copy(scratch, 12345);  // its contents must not matter
  embedding_backward<T>(on, integers_to_device<int>(token), to_device<T>(dout, num_tokens, width), scratch, dtable_VD);
  return to_host(dtable_VD);
}

// One chain per element of the table, positions ascending: what every number of threads must give.
std::vector<float> in_order(const std::vector<int>& token, const std::vector<float>& dout,
                            const std::vector<float>& before, int width) {
  std::vector<float> dtable = before;
  for (std::size_t t = 0; t < token.size(); ++t) {
    for (int d = 0; d < width; ++d) dtable[std::size_t(token[t]) * width + d] += dout[t * width + d];
  }
  return dtable;
}

TYPED_TEST(EmbeddingBackward, AddsThePositionsOfATokenInOrder) {
  for (const int num_tokens : {0, 1, 3, 64, 257, 1000}) {
    for (const int vocabulary : {1, 50, 64, 1001}) {
      for (const int width : {1, 17, 70}) {
        const std::vector<int> token = random_integers(0, num_tokens, vocabulary, 1);
        const std::vector<float> dout = random_rows<TypeParam>(0, num_tokens, width, 2);
        const std::vector<float> before = random_rows<float>(0, vocabulary, width, 3);
        const std::vector<float> expected = in_order(token, dout, before, width);
        for (const int num_threads : {1, 2}) {
          EXPECT_TRUE(same_bits(gradient<TypeParam>(with_threads(num_threads), token, dout, before, vocabulary, width),
                                expected))
              << num_tokens << " tokens of " << vocabulary << ", width " << width << ", " << num_threads << " threads";
        }
      }
    }
  }
}

TYPED_TEST(EmbeddingBackward, AgreesWithCentralDifferences) {
  constexpr int kVocabulary = 7, kWidth = 5, kNumTokens = 20;
  const std::vector<int> token = random_integers(0, kNumTokens, kVocabulary, 1);
  const std::vector<float> dout = random_rows<TypeParam>(0, kNumTokens, kWidth, 2);
  std::vector<float> expected;
  for (int v = 0; v < kVocabulary; ++v) {
    for (int d = 0; d < kWidth; ++d) {
      const auto loss = [&](double value) {  // the terms with table[v][d] in them
        double sum = 0;
        for (int t = 0; t < kNumTokens; ++t) sum += token[t] == v ? dout[t * kWidth + d] * value : 0.0;
        return sum;
      };
      expected.push_back(float(central_difference(loss, 0.5)));
    }
  }
  const std::vector<float> zeros(expected.size());
  // At most kNumTokens additions of partial sums, each no more than kNumTokens of the largest term.
  EXPECT_TRUE(all_close(gradient<TypeParam>(exec(), token, dout, zeros, kVocabulary, kWidth), expected,
                        kNumTokens * kNumTokens * max_abs(dout) * kUnit<float>));
}

TEST(EmbeddingBackwardChecks, TakesTheVocabularyOfTheModel) {
  const std::vector<int> token{200063, 0, 200063, 100000, 0};
  const std::vector<float> dout{1, 2, 4, 8, 16};
  const std::vector<float> dtable = gradient<float>(exec(), token, dout, std::vector<float>(200064, 0.0f), 200064, 1);
  EXPECT_EQ(dtable[0], 18.0f);
  EXPECT_EQ(dtable[100000], 8.0f);
  EXPECT_EQ(dtable[200063], 5.0f);
  EXPECT_EQ(std::ranges::count(dtable, 0.0f), 200061);
}

TEST(EmbeddingBackwardChecks, NameWhatDoesNotFit) {
  const auto call = [](int tokens, int columns, int scratch) {
    embedding_backward<float>(exec(), View1D<int>("test::token", tokens), View2D<float>("test::dout", 3, 8),
                              View1D<int>("test::scratch", scratch), View2D<float>("test::dtable", 10, columns));
  };
  using ::testing::StrEq;
  const auto says = [](const char* message) { return ::testing::ThrowsMessage<Error>(StrEq(message)); };
  EXPECT_THAT([&] { call(2, 8, 13); },
              says("embedding_backward: elements of token_T (2) and rows of dout_TD (3) must agree"));
  EXPECT_THAT([&] { call(3, 7, 13); },
              says("embedding_backward: columns of dtable_VD (7) and columns of dout_TD (8) must agree"));
  EXPECT_THAT([&] { call(3, 8, 12); }, says("embedding_backward: scratch has 12 elements, 13 are needed"));
}

}  // namespace
}  // namespace m2::test
