// SPDX-License-Identifier: Apache-2.0
#include "io/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.hpp"

namespace m2 {
namespace {

// Linux moves at most 2 GiB less a page in one call.
constexpr std::size_t kMaxBytesPerCall = std::size_t{1} << 30;

constexpr std::size_t kFetchBytes = std::size_t{2} << 20;
constexpr std::uint64_t kReadAheadBytes = std::uint64_t{128} << 10;

[[noreturn]] void raise_system(std::string_view action, const std::string& path, int error) {
  raise("cannot {} '{}': {}", action, path, std::strerror(error));
}

[[noreturn]] void raise_write(const std::string& path, int error, std::uint64_t missing_bytes) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    raise("cannot write '{}': {}; {} more bytes are needed: free that much or choose another folder", path,
          std::strerror(error), missing_bytes);
  }
  raise_system("write", path, error);
}

int open_flags(File::Mode mode) {
  switch (mode) {
    case File::Mode::read:
      return O_RDONLY | O_CLOEXEC;
    case File::Mode::create:
      return O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    case File::Mode::update:
      return O_RDWR | O_CLOEXEC;
    case File::Mode::append:
      return O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC;
  }
  return 0;
}

// Whether what was read stays in the page cache, for others to read. False on file systems not known to do so.
bool is_kept_in_page_cache(int descriptor) {
  // ext, XFS, Btrfs, tmpfs, NFS, Lustre, OverlayFS: statfs(2) lists the numbers; Lustre's is in its lustre_user.h.
  constexpr std::array<std::uint32_t, 7> kTypes = {0xef53,     0x58465342, 0x9123683e, 0x01021994,
                                                   0x00006969, 0x0bd00bd0, 0x794c7630};
  struct statfs system{};
  if (::fstatfs(descriptor, &system) != 0) return false;
  return std::ranges::find(kTypes, std::uint32_t(system.f_type)) != kTypes.end();
}

// Asks for one byte of each of the pieces that Linux reads ahead in, and waits for none: what a thread reads from its
// beginning to its end is there in such pieces.
bool is_in_page_cache(int descriptor, std::uint64_t offset, std::uint64_t size_bytes) {
  for (std::uint64_t at = offset; at < offset + size_bytes; at += kReadAheadBytes) {
    std::byte byte{};
    const iovec out{&byte, 1};
    if (::preadv2(descriptor, &out, 1, off_t(at), RWF_NOWAIT) != 1) return false;
  }
  return true;
}

std::string temporary_name(const std::string& path) { return fmt::format("{}.{}.tmp", path, ::getpid()); }

// The name under which a file is written that takes the place of what is at `path`.
std::string temporary_name_of_file(const std::string& path) {
  std::error_code ignored;
  M2_REQUIRE(!std::filesystem::exists(path, ignored) || std::filesystem::is_regular_file(path, ignored),
             "'{}' is not a file, and a finished file is to take its place: choose another path", path);
  return temporary_name(path);
}

// A rename is on the disk only when its folder is.
void sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  File(folder.empty() ? "." : folder, File::Mode::read).sync();
}

}  // namespace

File::File(std::string path, Mode mode) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), open_flags(mode), 0666);
  if (descriptor_ < 0) raise_system(mode == Mode::read || mode == Mode::update ? "open" : "create", path_, errno);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

std::uint64_t File::size_bytes() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) raise_system("inspect", path_, errno);
  return std::uint64_t(status.st_size);
}

void File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  const std::uint64_t end = offset + out.size();
  while (!out.empty()) {
    const ssize_t count = ::pread(descriptor_, out.data(), std::min(out.size(), kMaxBytesPerCall), off_t(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) raise_system("read", path_, errno);
    M2_REQUIRE(count > 0, "'{}' is truncated: it ends at byte {}, expected at least {}: copy it again", path_, offset,
               end);
    out = out.subspan(std::size_t(count));
    offset += std::uint64_t(count);
  }
}

std::size_t File::read_some(std::span<std::byte> out) const {
  for (;;) {
    const ssize_t count = ::read(descriptor_, out.data(), std::min(out.size(), kMaxBytesPerCall));
    if (count >= 0) return std::size_t(count);
    if (errno != EINTR) raise_system("read", path_, errno);
  }
}

void File::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data(), std::min(bytes.size(), kMaxBytesPerCall), off_t(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) raise_write(path_, errno, bytes.size());
    bytes = bytes.subspan(std::size_t(count));
    offset += std::uint64_t(count);
  }
}

void File::append(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) raise_write(path_, errno, bytes.size());
    bytes = bytes.subspan(std::size_t(count));
  }
}

void File::resize(std::uint64_t size_bytes) const {
  if (::ftruncate(descriptor_, off_t(size_bytes)) != 0) raise_system("resize", path_, errno);
}

void File::reserve(std::uint64_t size_bytes) const {
  if (size_bytes == 0) return;
  while (::fallocate(descriptor_, 0, 0, off_t(size_bytes)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return;
    raise_write(path_, errno, size_bytes);
  }
}

void File::start_flush(std::uint64_t offset, std::uint64_t size_bytes) const {
  ::sync_file_range(descriptor_, off_t(offset), off_t(size_bytes), SYNC_FILE_RANGE_WRITE);
}

void File::fetch(std::uint64_t offset, std::uint64_t size_bytes, Fetch how) const {
  if (how == Fetch::start || !is_kept_in_page_cache(descriptor_)) {
    ::posix_fadvise(descriptor_, off_t(offset), off_t(size_bytes), POSIX_FADV_WILLNEED);
    return;
  }
  if (is_in_page_cache(descriptor_, offset, size_bytes)) return;
  // Linux takes small pages for what it fetches after mere advice, and large ones for what is read.
  static thread_local std::vector<std::byte> thrown_away(kFetchBytes);
  while (size_bytes > 0) {
    const ssize_t count =
        ::pread(descriptor_, thrown_away.data(), std::min<std::uint64_t>(size_bytes, kFetchBytes), off_t(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    offset += std::uint64_t(count);
    size_bytes -= std::uint64_t(count);
  }
}

void File::sync() const {
  // EINVAL: a pipe or a device, which has nothing to flush
  if (::fsync(descriptor_) != 0 && errno != EINVAL) raise_system("flush to disk", path_, errno);
}

PendingFile::PendingFile(const std::string& path)
    : PendingFile(path, File(temporary_name_of_file(path), File::Mode::create)) {}

PendingFile PendingFile::join(const std::string& pending_path) {
  return {pending_path, File(pending_path, File::Mode::update)};
}

PendingFile::~PendingFile() {
  if (pending_) ::unlink(file_.path().c_str());
}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : target_(std::move(other.target_)),
      file_(std::move(other.file_)),
      pending_(std::exchange(other.pending_, false)) {}

void PendingFile::publish() {
  file_.sync();
  if (std::rename(file_.path().c_str(), target_.c_str()) != 0)
    raise_system("rename the finished file to", target_, errno);
  pending_ = false;
  sync_folder_of(target_);
}

void PendingFile::leave() {
  file_.sync();
  pending_ = false;
}

std::string read_text_file(const std::string& path) {
  const File file(path, File::Mode::read);
  std::string text;
  std::string piece(std::size_t{1} << 16, '\0');
  while (const std::size_t count = file.read_some(std::as_writable_bytes(std::span(piece)))) {
    text.append(piece, 0, count);
  }
  return text;
}

void write_text_file_atomically(const std::string& path, std::string_view text) {
  PendingFile pending(path);
  pending.file().write_at(0, std::as_bytes(std::span(text)));
  pending.publish();
}

void replace_link_atomically(const std::string& path, const std::string& target) {
  const std::string pending = temporary_name(path);
  ::unlink(pending.c_str());  // left by a killed process that had this number
  if (::symlink(target.c_str(), pending.c_str()) != 0) raise_system("create the link", pending, errno);
  if (std::rename(pending.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(pending.c_str());
    raise_system("rename the new link to", path, error);
  }
  sync_folder_of(path);
}

}  // namespace m2
