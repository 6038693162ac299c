#include "bench/workloads/parked.hpp"

#include "bench/harness/clock.hpp"
#include "protocol/codec.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <deque>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t ms = 1'000'000;
// A client address has 28 k ports for one server; this leaves some to others.
constexpr std::size_t connections_of_address = 20'000;
constexpr std::size_t openings_at_once = 64;

class fd_owner {
public:
  explicit fd_owner(int fd = -1) : fd_(fd) {}
  ~fd_owner() {
    if (fd_ >= 0)
      close(fd_);
  }
  fd_owner(fd_owner&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  fd_owner& operator=(fd_owner&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }

private:
  int fd_;
};

fd_owner connect_to(std::uint16_t port, std::size_t number) {
  fd_owner fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_in from{}, to{};
  from.sin_family = to.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<std::uint32_t>(number / connections_of_address));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(port);
  setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (fd.get() < 0 || bind(fd.get(), reinterpret_cast<sockaddr*>(&from), sizeof from) != 0
      || connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    throw std::runtime_error("connecting a parked agent, connection " + std::to_string(number) + ": " + std::strerror(errno));
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

} // namespace

class parked_agents::crowd {
public:
  explicit crowd(const parked_options& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (options_.control_connections == 0)
      options_.control_connections = options_.agents;
    agents_.resize(options_.agents);
    wires_.resize(options_.control_connections + options_.agents * options_.lanes);
    thread_ = std::jthread([this](const std::stop_token& ended) {
      try {
        run(ended);
      } catch (const std::exception& e) {
        fail(e.what());
      }
    });
  }

  [[nodiscard]] parked_figures figures() const {
    const std::lock_guard lock(mutex_);
    return shown_;
  }

  [[nodiscard]] bool all_parked(const parked_figures& now) const {
    return now.open == options_.agents && now.parked >= options_.agents * options_.lanes;
  }

private:
  enum class kind : std::uint8_t { open, heartbeat, settle, claim };
  struct request {
    std::size_t agent = 0;
    kind what = kind::open;
    std::size_t lane = 0;
    std::size_t items = 0; // Of a settlement.
    std::string text;
  };
  struct wire_state {
    fd_owner fd;
    std::deque<request> waiting; // The first has been sent.
    std::string unsent, answer;
  };
  struct lane_state {
    std::uint64_t seq = 0;
  };
  struct agent_state {
    std::string session, head; // The head of every request but the first.
    std::string name, group, connection;
    std::uint64_t heartbeat_ns = 0;
    std::vector<lane_state> lanes;
  };

  // A thread of its own from here on.

  void run(const std::stop_token& ended) {
    if (epoll_.get() < 0)
      throw std::runtime_error(std::string("epoll: ") + std::strerror(errno));
    while (!ended.stop_requested()) {
      while (opening_ < openings_at_once && opened_ < agents_.size())
        open(opened_++);
      const auto now = now_ns();
      while (!due_.empty() && due_.top().first <= now) {
        const auto n = due_.top().second;
        due_.pop();
        auto& a = agents_[n];
        due_.emplace(now + a.heartbeat_ns, n);
        ask(control_of(n), n, kind::heartbeat, "/heartbeat", sallyport::wire::encode(sallyport::wire::heartbeat{}));
      }
      auto wait = std::int64_t{20}; // So that a stop is noticed.
      if (!due_.empty())
        wait = std::min<std::int64_t>(wait, static_cast<std::int64_t>((due_.top().first - now) / ms) + 1);
      epoll_event events[512];
      const int n = epoll_wait(epoll_.get(), events, 512, static_cast<int>(wait));
      for (int i = 0; i < n; ++i) {
        auto& w = wires_[events[i].data.u64];
        if ((events[i].events & EPOLLOUT) != 0)
          write(w);
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
          read(w);
      }
      const std::lock_guard lock(mutex_);
      shown_ = mine_;
    }
  }

  [[nodiscard]] std::size_t control_of(std::size_t agent) const { return agent % options_.control_connections; }
  [[nodiscard]] std::size_t lane_of(std::size_t agent, std::size_t lane) const {
    return options_.control_connections + agent * options_.lanes + lane;
  }

  void open(std::size_t n) {
    ++opening_;
    auto& a = agents_[n];
    const auto queue = n % options_.queues;
    a.name = "parked" + std::to_string(n);
    a.group = group_named(queue), a.connection = connection_named(queue);
    a.lanes.resize(options_.lanes);
    sallyport::wire::open_session body;
    body.group = {a.group};
    body.agent = {a.name};
    body.id = {"id-" + a.name};
    body.life = {1, 1};
    body.version = "bench";
    body.connections.push_back({.name = {a.connection},
                                .adapter = "null",
                                .effect = sallyport::wire::effect_promise::at_least_once,
                                .fingerprint = "null",
                                .state = sallyport::wire::reach::up,
                                .detail = {}});
    a.head = "POST /v1/sessions";
    ask(control_of(n), n, kind::open, "", sallyport::wire::encode(body));
  }

  void claim(std::size_t n, std::size_t lane) {
    auto& a = agents_[n];
    sallyport::wire::claim body;
    body.lane = {"l" + std::to_string(lane)};
    body.seq = ++a.lanes[lane].seq;
    body.max_messages = 256;
    body.max_bytes = 8 << 20;
    body.wait = options_.claim_wait;
    if (body.seq == 1) // Spread over the time: as a crowd that has been here for long.
      body.wait = milliseconds(1'000 + static_cast<std::int64_t>((n * options_.lanes + lane) * 7'919 % 24'000));
    body.connections.push_back({{a.connection}, options_.credit});
    ++mine_.parked;
    ask(lane_of(n, lane), n, kind::claim, "/claims", sallyport::wire::encode(body), lane);
  }

  void settle(std::size_t n, const std::vector<sallyport::wire::grant>& grants) {
    sallyport::wire::settle body;
    body.agent = {"id-" + agents_[n].name};
    body.items.resize(grants.size());
    for (std::size_t i = 0; i < grants.size(); ++i)
      body.items[i].message = grants[i].message, body.items[i].fence = grants[i].fence;
    ask(control_of(n), n, kind::settle, "/settlements", sallyport::wire::encode(body), 0, grants.size());
  }

  void ask(std::size_t wire, std::size_t agent, kind what, const char* path, const std::string& body, std::size_t lane = 0,
           std::size_t items = 0) {
    auto& w = wires_[wire];
    if (w.fd.get() < 0) {
      w.fd = connect_to(options_.hub.port(), wire);
      epoll_event e{};
      e.events = EPOLLIN | EPOLLOUT | EPOLLET;
      e.data.u64 = wire;
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, w.fd.get(), &e);
    }
    w.waiting.push_back(
      {agent, what, lane, items,
       agents_[agent].head + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + options_.hub.agent_token
         + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body});
    if (w.waiting.size() == 1)
      send_first(w);
  }

  void send_first(wire_state& w) {
    w.unsent = std::move(w.waiting.front().text);
    write(w);
  }

  void write(wire_state& w) {
    while (!w.unsent.empty()) {
      const auto n = ::send(w.fd.get(), w.unsent.data(), w.unsent.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return;
      if (n < 0)
        return fail(std::string("writing a request: ") + std::strerror(errno));
      w.unsent.erase(0, static_cast<std::size_t>(n));
    }
  }

  void read(wire_state& w) {
    char buffer[64 << 10];
    while (true) {
      const auto n = ::read(w.fd.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return;
      if (n <= 0) {
        fail("the hub closed a connection");
        w.waiting.clear();
        w.fd = fd_owner();
        return;
      }
      w.answer.append(buffer, static_cast<std::size_t>(n));
      take_answers(w);
    }
  }

  void take_answers(wire_state& w) {
    const auto head_end = w.answer.find("\r\n\r\n");
    if (head_end == std::string::npos)
      return;
    const std::string_view head(w.answer.data(), head_end);
    int status = 0;
    std::size_t length = 0;
    std::from_chars(head.data() + 9, head.data() + 12, status);
    const std::string_view name = "\r\nContent-Length: ";
    if (const auto at = head.find(name); at != std::string_view::npos)
      std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length);
    if (w.answer.size() < head_end + 4 + length)
      return;
    const auto body = w.answer.substr(head_end + 4, length);
    w.answer.clear(); // The next request leaves only now.
    if (w.waiting.empty())
      return fail("an answer nobody asked for");
    const auto asked = std::move(w.waiting.front());
    w.waiting.pop_front();
    if (!w.waiting.empty())
      send_first(w);
    answered(asked, status, body);
  }

  void answered(const request& asked, int status, std::string_view body) {
    auto& a = agents_[asked.agent];
    if (asked.what == kind::open)
      --opening_;
    if (asked.what == kind::claim)
      --mine_.parked;
    if (status / 100 != 2) {
      fail("the hub answered " + std::to_string(status) + ": " + std::string(body));
      return;
    }
    switch (asked.what) {
      case kind::open: {
        const auto opened = sallyport::wire::decode<sallyport::wire::session_opened>(body);
        if (!opened)
          return fail("no session in the answer: " + std::string(body));
        a.session = to_string(opened->session);
        a.head = "POST /v1/sessions/" + a.session;
        a.heartbeat_ns = static_cast<std::uint64_t>(opened->ttl.count()) * ms / 4;
        due_.emplace(now_ns() + a.heartbeat_ns * (asked.agent * 7'919 % 1'000) / 1'000, asked.agent);
        ++mine_.open;
        for (std::size_t lane = 0; lane < options_.lanes; ++lane)
          claim(asked.agent, lane);
        return;
      }
      case kind::heartbeat: ++mine_.heartbeats; return;
      case kind::settle:
        mine_.settled += asked.items;
        mine_.last_settled_ns = now_ns();
        return;
      case kind::claim: {
        const auto got = sallyport::wire::decode<sallyport::wire::claim_reply>(body);
        if (!got)
          return fail("no grants in the answer: " + std::string(body.substr(0, 200)));
        claim(asked.agent, asked.lane);
        if (got->grants.empty())
          return;
        mine_.taken += got->grants.size();
        mine_.last_taken_ns = now_ns();
        settle(asked.agent, got->grants);
        return;
      }
    }
  }

  void fail(const std::string& why) {
    if (mine_.failed++ == 0)
      mine_.first_failure = why;
    const std::lock_guard lock(mutex_);
    shown_ = mine_;
  }

  parked_options options_;
  fd_owner epoll_;
  std::vector<agent_state> agents_;
  std::vector<wire_state> wires_;
  std::priority_queue<std::pair<std::uint64_t, std::size_t>, std::vector<std::pair<std::uint64_t, std::size_t>>, std::greater<>>
    due_;
  std::size_t opened_ = 0, opening_ = 0; // Asked for; not answered.
  parked_figures mine_;

  mutable std::mutex mutex_;
  parked_figures shown_;
  std::jthread thread_; // Last: it ends before what it uses.
};

parked_agents::parked_agents(const parked_options& options) : crowd_(std::make_unique<crowd>(options)) {}
parked_agents::~parked_agents() = default;

parked_figures parked_agents::figures() const {
  return crowd_->figures();
}

void parked_agents::wait_parked(std::chrono::seconds at_most) const {
  const auto give_up = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(at_most).count());
  while (true) {
    const auto now = figures();
    if (now.failed > 0)
      throw std::runtime_error("a parked agent failed: " + now.first_failure);
    if (crowd_->all_parked(now))
      return;
    if (now_ns() > give_up)
      throw std::runtime_error("after " + std::to_string(at_most.count()) + " s only " + std::to_string(now.open)
                               + " sessions were open and " + std::to_string(now.parked) + " claims parked");
    std::this_thread::sleep_for(milliseconds(5));
  }
}

std::size_t raise_file_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  rlimit more{65'536, 65'536};
  if (limit.rlim_max < more.rlim_max && setrlimit(RLIMIT_NOFILE, &more) == 0)
    return more.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

} // namespace sallyport::bench
