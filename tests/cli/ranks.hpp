// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/shell.hpp"

namespace m2::test {

/// What makes Open MPI use TCP between ranks of one host.
inline const std::string kOverTcp = "OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo";

/// Within so many seconds of its cause, or of its start, a failing job has ended on all ranks.
#ifdef __SANITIZE_ADDRESS__
inline constexpr double kSoonSeconds = 50;
#else
inline constexpr double kSoonSeconds = 10;
#endif
/// A limit for run(): so much longer that a job which hangs is seen to be one.
inline constexpr int kHangSeconds = 6 * int(kSoonSeconds);

/// A line of shell that starts `command` on several ranks, with `environment` of its own.
inline std::string on_ranks(int num_ranks, const std::string& command, const std::string& environment = "") {
  return "env " M2_MPI_ENVIRONMENT " " + environment + " " M2_MPIEXEC " " + std::to_string(num_ranks) + " " + command;
}

inline int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace m2::test
