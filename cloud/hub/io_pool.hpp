// The hub's HTTP threads: one Asio context and the threads that run it. Shared by the socket server and by the shard host, whose answers
// are turned into responses here.
#pragma once

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace sallyport::cloud {

class io_pool {
public:
  explicit io_pool(unsigned threads); // 0: one per core.
  ~io_pool();

  void post(std::function<void()> job);
  /// Finishes no work: what is queued is dropped. Everything that counts on it must have ended before.
  void stop();
  [[nodiscard]] boost::asio::io_context& context();

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud
