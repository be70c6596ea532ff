// SPDX-License-Identifier: Apache-2.0
// Which paths a deck reads and writes.
#include <gtest/gtest.h>

#include "config/deck.hpp"
#include "config/deck_keys.hpp"

namespace m2 {
namespace {

// All keys with a text are paths but prompts.text: one that is added must say whether it is read or written.
std::string role_of(const DeckKey& key) {
  if (!key.path_use) return "-";
  if (*key.path_use == PathUse::add_to_folder) return "add to";
  return *key.path_use == PathUse::read ? "read" : "write";
}

TEST(DeckPaths, EveryPathHasARole) {
  std::string roles;
  for (const DeckKey& key : deck_keys()) {
    if (key.is_text || key.path_use) roles += key.path + " " + role_of(key) + "\n";
  }
  EXPECT_EQ(roles,
            "model.checkpoint read\nmodel.config read\nmodel.adapter read\nprompts.file read\nprompts.text -\n"
            "data.file read\ndata.file read\ndata.files read\nlora.adapter read\ncheckpoint.folder add "
            "to\nvalidation.file read\n"
            "restore.from read\noutput.file write\noutput.file write\noutput.report write\noutput.report write\n"
            "output.expert_load write\nparallel.placement read\n");
}

TEST(DeckPaths, ListsThePathsThatItsJobUses) {
  Deck deck = parse_deck(
      "job: score\nmodel: {checkpoint: m.h5}\ndata: {file: d.jsonl}\noutput: {expert_load: load.json}\n", "deck.yaml");
  deck.file = "deck.yaml";
  std::string paths;
  for (const PathRole& role : deck_paths(deck)) {
    paths += role.key + " " + role.path + (role.use == PathUse::read ? " read\n" : " write\n");
  }
  EXPECT_EQ(paths,
            "the deck deck.yaml read\nmodel.checkpoint m.h5 read\ndata.file d.jsonl read\n"
            "output.expert_load load.json write\n");
}

}  // namespace
}  // namespace m2
