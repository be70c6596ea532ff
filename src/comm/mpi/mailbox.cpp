// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mailbox.hpp"

#include <cstring>
#include <list>
#include <optional>
#include <utility>

#include "comm/mpi/mpi_call.hpp"
#include "comm/mpi/mpi_pieces.hpp"

namespace m2 {
namespace {

// What travels: the text behind its length, in pieces.
using Length = std::int64_t;

std::string frame_of(const std::string& text) {
  const Length length = Length(text.size());
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame + text;
}

struct Outgoing {
  std::string frame;
  std::vector<MPI_Request> requests;
};

// What has come of a rank's current text.
struct Incoming {
  std::string frame;
  std::int64_t num_texts = 0;

  bool is_whole() const {
    Length length = 0;
    if (frame.size() < sizeof(length)) return false;
    std::memcpy(&length, frame.data(), sizeof(length));
    return frame.size() == sizeof(length) + std::size_t(length);
  }
};

}  // namespace

struct Mailbox::State {
  std::vector<std::string> arrived;
  std::optional<MpiComm> comm;  // of one rank alone: none
  int rank = 0;
  std::int64_t num_sent = 0;
  std::list<Outgoing> outgoing;
  std::vector<Incoming> incoming;  // on rank 0, by rank

  void send(const std::string& text);
  bool receive_piece();
  void forget_sent();
  void wait_for_sent();
  void receive_all();
};

void Mailbox::State::send(const std::string& text) {
  forget_sent();
  ++num_sent;
  Outgoing& message = outgoing.emplace_back();
  message.frame = frame_of(text);
  for_each_piece(std::int64_t(message.frame.size()), kMpiPieceBytes, [&](std::int64_t begin, int length) {
    check_mpi(
        MPI_Isend(message.frame.data() + begin, length, MPI_BYTE, 0, 0, comm->get(), &message.requests.emplace_back()),
        "MPI_Isend");
  });
}

// False when none has arrived.
bool Mailbox::State::receive_piece() {
  int found = 0, bytes = 0;
  MPI_Message message = MPI_MESSAGE_NULL;
  MPI_Status status;
  check_mpi(MPI_Improbe(MPI_ANY_SOURCE, 0, comm->get(), &found, &message, &status), "MPI_Improbe");
  if (found == 0) return false;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  Incoming& from = incoming[status.MPI_SOURCE];
  const std::size_t begin = from.frame.size();
  from.frame.resize(begin + std::size_t(bytes));
  check_mpi(MPI_Mrecv(from.frame.data() + begin, bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE), "MPI_Mrecv");
  if (from.is_whole()) {
    arrived.push_back(from.frame.substr(sizeof(Length)));
    from.frame.clear();
    ++from.num_texts;
  }
  return true;
}

void Mailbox::State::forget_sent() {
  outgoing.remove_if([](Outgoing& message) {
    int done = 0;
    check_mpi(MPI_Testall(int(message.requests.size()), message.requests.data(), &done, MPI_STATUSES_IGNORE),
              "MPI_Testall");
    return done != 0;
  });
}

void Mailbox::State::wait_for_sent() {
  for (Outgoing& message : outgoing) {
    check_mpi(MPI_Waitall(int(message.requests.size()), message.requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  }
  outgoing.clear();
}

// What every rank has sent until it called this.
void Mailbox::State::receive_all() {
  std::vector<std::int64_t> sent(incoming.size());
  check_mpi(MPI_Gather(&num_sent, 1, MPI_INT64_T, sent.data(), 1, MPI_INT64_T, 0, comm->get()), "MPI_Gather");
  const auto missing = [&] {
    for (std::size_t r = 0; r < incoming.size(); ++r) {
      if (incoming[r].num_texts < sent[r]) return true;
    }
    return false;
  };
  while (missing()) receive_piece();
  wait_for_sent();
}

Mailbox::Mailbox(Communicator& world) : state_(std::make_unique<State>()) {
  if (world.size() == 1) return;
  state_->comm.emplace(MpiComm::duplicate(mpi_of(world)));
  state_->rank = world.rank();
  if (world.rank() == 0) state_->incoming.resize(world.size());
}

Mailbox::~Mailbox() {
  if (!state_->comm || !state_->comm->can_free()) return;
  try {
    state_->receive_all();  // sends under way need their buffers
  } catch (const Error&) {  // the next call of MPI will say it, too
  }
}

void Mailbox::send(std::string text) {
  if (state_->rank == 0) {
    state_->arrived.push_back(std::move(text));
  } else {
    state_->send(text);
  }
}

std::vector<std::string> Mailbox::poll() {
  if (state_->rank != 0) {
    state_->forget_sent();
  } else if (state_->comm) {
    while (state_->receive_piece()) {
    }
  }
  return std::exchange(state_->arrived, {});
}

std::vector<std::string> Mailbox::drain() {
  if (state_->comm) state_->receive_all();
  return std::exchange(state_->arrived, {});
}

}  // namespace m2
