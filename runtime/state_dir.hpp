// The agent's state directory: who it is, and how often it has been started. One process at a time.
//
//   agent-id      random, made once; tells this installation from another under the same name
//   incarnation   raised and fsynced at every start; the hub lets a higher one replace a lower one at once
//   lock          held while the process lives
//
// Owned by the agent; opened once, before anything talks to a hub. After a crash the lock is free and the incarnation is the next one, even
// if the crash came between raising it and using it.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/result.hpp"

#include <cstdint>
#include <string>

namespace sallyport::runtime {

class state_dir {
public:
  /// Makes the directory when it is missing (mode 0700). Errors: state_locked (names the process that holds it), state_io.
  [[nodiscard]] static result<state_dir> open(const std::string& path);
  state_dir(state_dir&& other) noexcept;
  state_dir& operator=(state_dir&& other) noexcept;
  ~state_dir();

  [[nodiscard]] const agent_id& id() const { return id_; }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }

private:
  state_dir() = default;

  int lock_ = -1;
  agent_id id_;
  std::uint64_t incarnation_ = 0;
};

} // namespace sallyport::runtime
