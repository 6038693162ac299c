#include "cloud/hub/io_pool.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <thread>
#include <vector>

#include <pthread.h>

namespace sallyport::cloud {

struct io_pool::body {
  explicit body(unsigned count) : context(static_cast<int>(count)), work(context.get_executor()) {
    for (unsigned i = 0; i < count; ++i) {
      threads.emplace_back([this] { context.run(); });
      pthread_setname_np(threads.back().native_handle(), "hub-io");
    }
  }

  boost::asio::io_context context;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::vector<std::thread> threads;
};

io_pool::io_pool(unsigned threads)
  : body_(std::make_unique<body>(threads ? threads : std::max(1u, std::thread::hardware_concurrency()))) {}

io_pool::~io_pool() {
  stop();
}

void io_pool::post(std::function<void()> job) {
  boost::asio::post(body_->context, std::move(job));
}

void io_pool::stop() {
  body_->context.stop();
  for (auto& t : body_->threads)
    t.join();
  body_->threads.clear();
}

boost::asio::io_context& io_pool::context() {
  return body_->context;
}

} // namespace sallyport::cloud
