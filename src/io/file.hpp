// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace m2 {

/// How long to stay with bytes that will be read soon.
enum class Fetch {
  start,  ///< tell the system, and do not wait
  finish  ///< return when they are in the page cache, where it is known to keep them; otherwise as `start`
};

/// An open file. Every failure throws Error with the path, what was tried and the system's reason; a full disk also
/// says how many bytes are needed. read_at and write_at use offsets of their own and may be called from many threads at
/// once.
class File {
 public:
  enum class Mode {
    read,    ///< must exist
    create,  ///< new or emptied; reading and writing
    update,  ///< must exist; reading and writing
    append   ///< new or as it is; reading, and writing at its end only
  };

  File(std::string path, Mode mode);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  std::uint64_t size_bytes() const;

  /// Fills `out`; a file that ends before is an Error.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

  /// Reads on from where the last call ended; returns how many bytes came, 0 at the end.
  std::size_t read_some(std::span<std::byte> out) const;

  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// Writes at the end of a file opened to append: with one system call, unless the disk fills up.
  void append(std::span<const std::byte> bytes) const;

  void resize(std::uint64_t size_bytes) const;

  /// Asks the file system for the space of the whole file now, so that a full disk is found before the work and not
  /// after it. File systems that cannot do this are left alone.
  void reserve(std::uint64_t size_bytes) const;

  /// Lets the system begin to move these bytes to the disk, and does not wait: a later sync() has less to do. Systems
  /// that cannot are left alone.
  void start_flush(std::uint64_t offset, std::uint64_t size_bytes) const;

  /// Has these bytes fetched from the disk. Threads that read different places of one file need it: the system's own
  /// reading ahead is for one place. Never fails: whoever reads the bytes will meet what is wrong with them.
  void fetch(std::uint64_t offset, std::uint64_t size_bytes, Fetch how) const;

  /// Returns when everything is on the disk.
  void sync() const;

 private:
  std::string path_;
  int descriptor_ = -1;
};

/// A file that appears under its name only when it is complete: it is written as "<path>.<process id>.tmp", and
/// publish() flushes it to disk and renames it. Without publish(), the destructor removes it and whatever was at `path`
/// stays.
class PendingFile {
 public:
  /// Throws Error if there is something at `path` other than a file: renaming would put a file in the place of a
  /// device.
  explicit PendingFile(const std::string& path);
  ~PendingFile();
  PendingFile(PendingFile&& other) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;

  /// The file that another process, perhaps on another host, is writing under this temporary name. Without leave(), the
  /// destructor removes it.
  static PendingFile join(const std::string& pending_path);

  const File& file() const { return file_; }
  /// The name it will have; of a file that was joined, its temporary name.
  const std::string& target() const { return target_; }
  void publish();
  /// Flushes what this process wrote, and leaves the rest to the one that made the file.
  void leave();

 private:
  PendingFile(std::string target, File file) : target_(std::move(target)), file_(std::move(file)) {}

  std::string target_;
  File file_;
  bool pending_ = true;
};

/// The whole file.
std::string read_text_file(const std::string& path);

/// Writes the file through a PendingFile: after a failure the old content is still there, whole.
void write_text_file_atomically(const std::string& path, std::string_view text);

/// Lets the symbolic link at `path` name `target`, as seen from its folder, from one moment to the next: it is made as
/// "<path>.<process id>.tmp" and renamed. Returns when that is on the disk.
void replace_link_atomically(const std::string& path, const std::string& target);

}  // namespace m2
