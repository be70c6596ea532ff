// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <ctime>

#include "core/error.hpp"
#include "io/safetensors.hpp"
#include "io/temporary_folder.hpp"

namespace m2 {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string with_length(const std::string& json) {
  const std::uint64_t length = json.size();
  std::string out(sizeof(length), '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  return out + json;
}

SafetensorsHeader parse(const std::string& json, std::uint64_t data_bytes) {
  const std::string prefix = with_length(json);
  return parse_safetensors_header(test::bytes_of(prefix), prefix.size() + data_bytes, "f.safetensors");
}

TEST(SafetensorsHeader, GivesEntriesInTheOrderOfTheirBytes) {
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"shape":[],"data_offsets":[0,4],"dtype":"F32"},"none":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]}}   )";
  const SafetensorsHeader header = parse(json, 16);
  ASSERT_EQ(header.entries.size(), 3u);
  EXPECT_EQ(header.entries[0].name, "a");
  EXPECT_EQ(header.entries[1].name, "none");
  const TensorEntry& b = header.entries[2];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.dtype, DType::bfloat16);
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(b.offset, 8 + json.size() + 4);
  EXPECT_EQ(b.size_bytes, 12u);
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
}

TEST(SafetensorsHeader, KnowsEveryDTypeOfTheFormat) {
  for (int i = 0; i <= int(DType::uint64); ++i) {
    const auto dtype = DType(i);
    const auto header = parse(fmt::format(R"({{"x":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})",
                                          safetensors_name(dtype), 3 * size_bytes(dtype)),
                              3 * size_bytes(dtype));
    EXPECT_EQ(header.entries[0].dtype, dtype) << safetensors_name(dtype);
  }
}

TEST(SafetensorsHeader, MayBeEmpty) { EXPECT_TRUE(parse("{}", 0).entries.empty()); }

struct Refusal {
  const char* name;
  std::string json;
  std::uint64_t data_bytes;
  std::string message;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

std::string one(const std::string& entry) { return R"({"x":)" + entry + "}"; }

std::string two(const std::string& first, const std::string& second) {
  return fmt::format(
      R"({{"x":{{"dtype":"U8","shape":[4],"data_offsets":{}}},"y":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
      first, second);
}

const Refusal kRefusals[] = {
    {"NotJson", "{\"x\":nul}", 0, "f.safetensors: the safetensors header is not valid JSON: at byte 9: syntax error"},
    {"BrokenOff", "{\"x\":{", 0, "f.safetensors: the safetensors header is not valid JSON: at byte 7: syntax error"},
    {"TwoValues", "{}{}", 0, "is not valid JSON: at byte 3: syntax error"},
    {"NotUtf8", "{\"\xff\":{}}", 0, "ill-formed UTF-8 byte"},
    {"NotAnObject", "[]", 0, "f.safetensors: the safetensors header must begin with '{'"},
    {"LeadingSpace", " {}", 0, "f.safetensors: the safetensors header must begin with '{'"},
    {"TensorTwice",
     R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0,
     "f.safetensors: 'x' is given twice in the safetensors header"},
    {"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0, "'__metadata__' is given twice"},
    {"MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"2"}})", 0,
     "key 'a' is given twice in the header's __metadata__"},
    {"MetadataNotText", R"({"__metadata__":{"a":1}})", 0,
     "key 'a' of the header's __metadata__ must be a string, found the number 1"},
    {"MetadataNotAnObject", R"({"__metadata__":"a"})", 0,
     "'__metadata__' in the safetensors header must be an object, found the string 'a'"},
    {"EntryNotAnObject", one("[1]"), 0, "'x' in the safetensors header must be an object, found an array"},
    {"KeyTwice", one(R"({"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]})"), 0,
     "f.safetensors: tensor 'x': dtype is given twice"},
    {"KeyMissing", one(R"({"dtype":"U8","shape":[0]})"), 0, "tensor 'x': it must have dtype, shape and data_offsets"},
    {"KeyUnknown", one(R"({"dtype":"U8","strides":[1]})"), 0,
     "tensor 'x': unknown key 'strides'; expected dtype, shape, data_offsets"},
    {"DTypeUnknown", one(R"({"dtype":"F4","shape":[0],"data_offsets":[0,0]})"), 0,
     "tensor 'x': unknown dtype 'F4'; known are F32, BF16, F8_E4M3"},
    {"DTypeNotText", one(R"({"dtype":8})"), 0, "tensor 'x': dtype must be a string, found the number 8"},
    {"ShapeNotAnArray", one(R"({"shape":"[8]"})"), 0, "tensor 'x': shape must be an array, found the string '[8]'"},
    {"ShapeNested", one(R"({"shape":[[8]]})"), 0, "shape must hold integers of 0 to 2^63 - 1, found an array"},
    {"ShapeNegative", one(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,0]})"), 0,
     "tensor 'x': shape must hold integers of 0 to 2^63 - 1, found the number -1"},
    {"ShapeFraction", one(R"({"shape":[1.5]})"), 0, "shape must hold integers of 0 to 2^63 - 1, found the number 1.5"},
    {"ShapeTooLarge", one(R"({"shape":[18446744073709551615]})"), 0, "found the number 18446744073709551615"},
    {"ShapeOverflows", one(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})"), 0,
     "tensor 'x': shape [4294967296, 4294967296] has too many elements"},
    {"OffsetsThree", one(R"({"data_offsets":[0,1,2]})"), 0,
     "data_offsets must hold two integers, 0 or more, found the number 2"},
    {"OffsetsOne", one(R"({"data_offsets":[0]})"), 0,
     "data_offsets must hold two integers, 0 or more, found 1 of two numbers"},
    {"OffsetsNegative", one(R"({"data_offsets":[-1,0]})"), 0, "found the number -1"},
    {"OffsetsReversed", one(R"({"dtype":"U8","shape":[1],"data_offsets":[2,1]})"), 2,
     "tensor 'x': data_offsets [2, 1] are not within the 2 bytes of data"},
    {"OffsetsBeyondTheEnd", one(R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})"), 3,
     "tensor 'x': data_offsets [0, 4] are not within the 3 bytes of data: the file is truncated or damaged"},
    {"SizeWrong", one(R"({"dtype":"BF16","shape":[3],"data_offsets":[0,4]})"), 4,
     "tensor 'x': data_offsets [0, 4] hold 4 bytes, expected 6 for BF16 of shape [3]"},
    {"Overlap", two("[0,4]", "[3,7]"), 7, "tensor 'y' begins at byte"},
    {"SamePlace", two("[0,4]", "[0,4]"), 4, "overlaps the tensor before it"},
    {"HoleBefore", two("[1,5]", "[5,9]"), 9, "f.safetensors: 1 bytes before tensor 'x'"},
    {"HoleBetween", two("[0,4]", "[6,10]"), 10, "f.safetensors: 2 bytes before tensor 'y'"},
    {"HoleAfter", two("[0,4]", "[4,8]"), 11, "f.safetensors: the last 3 bytes"},
    {"DataWithoutTensors", "{}", 5, "the last 5 bytes, from byte 10, belong to no tensor"},
};

class SafetensorsRefusal : public ::testing::TestWithParam<Refusal> {};

TEST_P(SafetensorsRefusal, SaysWhy) {
  const Refusal& refusal = GetParam();
  EXPECT_THAT([&] { parse(refusal.json, refusal.data_bytes); },
              ::testing::ThrowsMessage<Error>(HasSubstr(refusal.message)));
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsRefusal, ::testing::ValuesIn(kRefusals),
                         [](const auto& tested) { return std::string(tested.param.name); });

std::string message_of(const std::string& file) {
  try {
    parse_safetensors_header(test::bytes_of(file), file.size(), "f");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SafetensorsHeader, BadLengthIsRefused) {
  EXPECT_THAT(message_of("1234567"), StartsWith("f: 7 bytes are too few for a safetensors file"));
  EXPECT_THAT(message_of("version https://git-lfs.github.com/spec/v1"),
              HasSubstr("ask for a header of 2336927755350992246 bytes, more than the format's 100000000"));
  EXPECT_THAT(message_of(with_length("{}   ").substr(0, 10)),
              StartsWith("f: the header should have 5 bytes but only 2 follow: truncated"));
}

TEST(SafetensorsHeader, EveryPrefixAndFlippedByteIsHandled) {
  const std::string file = with_length(two("[0,4]", "[4,8]")) + "12345678";
  for (std::size_t size = 0; size < file.size(); ++size) EXPECT_NE(message_of(file.substr(0, size)), "") << size;
  for (std::size_t i = 0; i < file.size() - 8; ++i) {
    std::string flipped = file;
    flipped[i] = char(flipped[i] ^ 0x80);
    EXPECT_NE(message_of(flipped), "") << i;
  }
}

TEST(SafetensorsHeader, LongTokensAreNotRepeatedInTheMessage) {
  EXPECT_LT(message_of(with_length("{\"" + std::string(100'000, 'x'))).size(), 500u);
}

TEST(SafetensorsHeader, DeepNestingIsRefused) {
  EXPECT_THAT(message_of(with_length(R"({"x":{"shape":)" + std::string(1'000'000, '['))),
              HasSubstr("shape must hold integers of 0 to 2^63 - 1, found an array"));
}

TEST(SafetensorsHeader, HundredThousandTensorsTakeLessThanASecond) {
  constexpr int kNumTensors = 100'000;
  std::string json = "{";
  for (int i = 0; i < kNumTensors; ++i) {
    json += fmt::format(
        R"({}"model.layers.{}.block_sparse_moe.experts.{}.w1.weight":{{"dtype":"F8_E4M3","shape":[1536,3072],)"
        R"("data_offsets":[{},{}]}})",
        i == 0 ? "" : ",", i / 768, i, std::int64_t{i} * 4718592, std::int64_t{i + 1} * 4718592);
  }
  json += "}";
  const std::clock_t start = std::clock();  // processor time, so that a busy machine does not fail the test
  const SafetensorsHeader header = parse(json, std::uint64_t{kNumTensors} * 4718592);
  const double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_EQ(header.entries.size(), std::size_t{kNumTensors});
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(seconds, 1.0);
#endif
  RecordProperty("seconds", std::to_string(seconds));
}

}  // namespace
}  // namespace m2
