// A thread that watches sockets: one Asio context and whoever runs it. Shared by what works there; the last one ends it.
#pragma once

#include <functional>
#include <memory>
#include <thread>

namespace boost::asio {
class io_context;
}

namespace sallyport::io {

/// Signals belong to the program's own threads: this one has them all blocked.
[[nodiscard]] std::thread start_thread(const char* name, std::function<void()> run);

class io_thread {
public:
  io_thread();
  ~io_thread();
  io_thread(const io_thread&) = delete;
  io_thread& operator=(const io_thread&) = delete;

  [[nodiscard]] boost::asio::io_context& context();
  /// Whether the caller is this thread: then nothing else runs on it.
  [[nodiscard]] bool on_thread() const;
  /// Soon, on this thread, in the order of asking. What is left when it ends is dropped.
  void post(std::function<void()> job);

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::io
