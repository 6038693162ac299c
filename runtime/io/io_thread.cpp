#include "runtime/io/io_thread.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <utility>

#include <pthread.h>
#include <signal.h>

namespace sallyport::io {

namespace net = boost::asio;

struct io_thread::body {
  std::shared_ptr<net::io_context> io = std::make_shared<net::io_context>(1);
  net::executor_work_guard<net::io_context::executor_type> work{io->get_executor()};
  std::thread thread;
};

std::thread start_thread(const char* name, std::function<void()> run) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread started{std::move(run)};
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(started.native_handle(), name);
  return started;
}

io_thread::io_thread() : body_(std::make_unique<body>()) {
  body_->thread = start_thread("sallyport-io", [io = body_->io] { io->run(); });
}

io_thread::~io_thread() {
  body_->io->stop();
  if (on_thread())
    body_->thread.detach(); // A handler held the last reference. The thread keeps the context and ends after this handler.
  else
    body_->thread.join();
}

net::io_context& io_thread::context() {
  return *body_->io;
}

bool io_thread::on_thread() const {
  return std::this_thread::get_id() == body_->thread.get_id();
}

void io_thread::post(std::function<void()> job) {
  net::post(*body_->io, std::move(job));
}

} // namespace sallyport::io
