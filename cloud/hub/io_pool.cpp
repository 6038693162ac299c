#include "cloud/hub/io_pool.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <deque>
#include <thread>

#include <pthread.h>

namespace sallyport::cloud {

namespace {

thread_local const void* own_pool = nullptr; // Of a thread of a pool: which,
thread_local unsigned own_place = 0;         // and its place in it.

} // namespace

struct io_pool::body {
  struct lane {
    boost::asio::io_context context{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{context.get_executor()};
    std::thread thread;
  };

  explicit body(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      lanes.push_back(std::make_unique<lane>());
    for (unsigned i = 0; i < count; ++i) {
      lanes[i]->thread = std::thread{[this, i] {
        own_pool = this, own_place = i;
        lanes[i]->context.run();
      }};
      pthread_setname_np(lanes[i]->thread.native_handle(), "hub-io");
    }
  }

  std::deque<std::unique_ptr<lane>> lanes;

  // The first lane goes first: an accept that waits there holds a socket of another.
  ~body() {
    while (!lanes.empty())
      lanes.pop_front();
  }
};

io_pool::io_pool(unsigned threads)
  : body_(std::make_unique<body>(threads ? threads : std::max(1u, std::thread::hardware_concurrency()))) {}

io_pool::~io_pool() {
  stop();
}

unsigned io_pool::lanes() const {
  return static_cast<unsigned>(body_->lanes.size());
}

unsigned io_pool::own_lane() const {
  return own_pool == body_.get() ? own_place : 0;
}

void io_pool::post(unsigned lane, std::function<void()> job) {
  boost::asio::post(context(lane), std::move(job));
}

void io_pool::stop() {
  for (auto& l : body_->lanes)
    l->context.stop();
  for (auto& l : body_->lanes)
    if (l->thread.joinable())
      l->thread.join();
}

boost::asio::io_context& io_pool::context(unsigned lane) {
  return body_->lanes[lane % lanes()]->context;
}

} // namespace sallyport::cloud
