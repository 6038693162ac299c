// The hub's HTTP threads. Each runs an Asio context of its own, a lane: what belongs to a lane needs no lock and no strand, and no thread
// wakes another only to have the sockets watched. Shared by the socket server, whose connections belong to one lane for life, and by
// the shard host, whose answers are turned into responses on the lane that asked.
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

  [[nodiscard]] unsigned lanes() const;
  /// The calling thread's lane; of a thread that is none of the pool's, the first.
  [[nodiscard]] unsigned own_lane() const;
  void post(unsigned lane, std::function<void()> job);
  /// Finishes no work: what is queued is dropped. Everything that counts on it must have ended before.
  void stop();
  [[nodiscard]] boost::asio::io_context& context(unsigned lane);

private:
  struct body;
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud
