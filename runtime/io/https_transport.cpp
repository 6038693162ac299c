#include "runtime/io/https_transport.hpp"

#include "runtime/io/http_link.hpp"
#include "runtime/io/io_thread.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <openssl/evp.h>
#include <utility>

namespace sallyport::io {
namespace {

namespace net = boost::asio;
using runtime::http_reply;
using runtime::http_request;
using runtime::transport;
using executor = net::io_context::executor_type;
using timer = net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, executor>;
using clock = std::chrono::steady_clock;

/// A request on its way through a slot.
struct errand {
  errand(net::io_context& io, http_request r, transport::handler h)
    : request(std::move(r)),
      on_reply(std::move(h)),
      deadline(io, clock::now() + request.timeout) {}

  void finish(result<http_reply> reply) {
    ended = true;
    deadline.cancel();
    std::exchange(on_reply, nullptr)(std::move(reply));
  }

  http_request request;
  transport::handler on_reply;
  timer deadline;
  bool ended = false;
};

/// One connection and the requests that want it. Io thread only.
class slot : public std::enable_shared_from_this<slot> {
public:
  slot(net::io_context& io, std::shared_ptr<destination> to) : io_(io), to_(std::move(to)) {}

  void submit(std::shared_ptr<errand> e) {
    e->deadline.async_wait([self = shared_from_this(), e](const boost::system::error_code& ec) {
      if (!ec && !e->ended)
        self->on_deadline(e);
    });
    waiting_.push_back(std::move(e));
    next();
  }

  void stop() {
    if (link_)
      link_->abandon();
    link_.reset();
    auto all = std::exchange(waiting_, {});
    if (current_)
      all.push_front(std::exchange(current_, nullptr));
    for (const auto& e : all)
      e->finish(make_error(errc::stopped, "the transport to " + to_->hub.authority() + " has been closed"));
  }

private:
  void next() {
    if (current_ || waiting_.empty())
      return;
    current_ = std::move(waiting_.front());
    waiting_.pop_front();
    if (!link_ || !link_->usable())
      link_ = make_http_link(io_, to_);
    link_->exchange(current_->request, [self = shared_from_this(), e = current_](result<http_reply> reply) {
      self->current_ = nullptr;
      self->next(); // First, so that the connection is not idle while the handler works.
      e->finish(std::move(reply));
    });
  }

  void on_deadline(const std::shared_ptr<errand>& e) {
    const auto after = "no answer within " + std::to_string(e->request.timeout.count()) + " ms: ";
    if (e != current_) {
      std::erase(waiting_, e);
      e->finish(make_error(errc::timed_out, after + "it waited behind other requests and was not sent"));
      return;
    }
    const auto code = link_->has_sent() ? errc::timed_out : errc::unreachable;
    auto why = make_error(code, after + link_->doing());
    link_->abandon(); // Its answer may still come; it must not be taken for the next one's.
    link_.reset();
    current_ = nullptr;
    next();
    e->finish(std::move(why));
  }

  net::io_context& io_;
  std::shared_ptr<destination> to_;
  std::shared_ptr<http_link> link_;
  std::shared_ptr<errand> current_;
  std::deque<std::shared_ptr<errand>> waiting_;
};

/// The part of a transport that its pending operations keep alive.
class transport_core : public std::enable_shared_from_this<transport_core> {
public:
  transport_core(net::io_context& io, std::shared_ptr<destination> to) : io_(io), to_(std::move(to)) {}

  void send(http_request request, transport::handler on_reply) {
    if (auto fault = fault_of(request)) {
      answer_later(std::move(on_reply), make_error(errc::invalid_request, std::move(*fault)));
      return;
    }
    auto e = std::make_shared<errand>(io_, std::move(request), std::move(on_reply));
    std::unique_lock lock(mutex_);
    if (closed_) {
      lock.unlock();
      answer_later(std::move(e->on_reply),
                   make_error(errc::stopped, "the transport to " + to_->hub.authority() + " has been closed"));
      return;
    }
    inbox_.push_back(std::move(e));
    if (inbox_.size() == 1)
      net::post(io_, [self = shared_from_this()] { self->collect(); });
  }

  /// Io thread only.
  void stop() {
    collect();
    for (auto& entry : std::exchange(slots_, {}))
      entry.second->stop();
  }

  void refuse_more() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

private:
  void collect() {
    std::vector<std::shared_ptr<errand>> arrived;
    {
      const std::lock_guard lock(mutex_);
      arrived.swap(inbox_);
    }
    for (auto& e : arrived) {
      auto& s = slots_[e->request.slot];
      if (!s)
        s = std::make_shared<slot>(io_, to_);
      s->submit(std::move(e));
    }
  }

  void answer_later(transport::handler on_reply, error why) {
    net::post(io_, [on_reply = std::move(on_reply), why = std::move(why)] { on_reply(why); });
  }

  /// What would let a request's fields change its framing.
  static std::optional<std::string> fault_of(const http_request& r) {
    const auto printable = [](const std::string& text, unsigned char from) {
      return std::all_of(text.begin(), text.end(), [from](unsigned char c) { return c >= from && c != 0x7f; });
    };
    if (r.method.empty() || !std::all_of(r.method.begin(), r.method.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      return "the method is not a word of capitals";
    if (r.target.empty() || r.target.front() != '/' || !printable(r.target, '!'))
      return "the path must begin with '/', and blanks and control characters in it must be percent-encoded";
    if (!printable(r.content_type, ' ') || !printable(r.accept, ' ') || !printable(r.prefer, ' '))
      return "a header field has a control character";
    return std::nullopt;
  }

  net::io_context& io_;
  std::shared_ptr<destination> to_;
  std::map<std::uint32_t, std::shared_ptr<slot>> slots_; // Io thread only.

  std::mutex mutex_; // Guards what follows.
  std::vector<std::shared_ptr<errand>> inbox_;
  bool closed_ = false;
};

class https_transport final : public transport {
public:
  https_transport(std::shared_ptr<io_thread> engine, std::shared_ptr<destination> to)
    : engine_(std::move(engine)),
      core_(std::make_shared<transport_core>(engine_->context(), std::move(to))) {}

  ~https_transport() override { close(); }

  void send(http_request request, handler on_reply) override { core_->send(std::move(request), std::move(on_reply)); }

  void close() override {
    core_->refuse_more();
    if (engine_->on_thread()) { // Called by a handler: that one is the only one running.
      core_->stop();
      return;
    }
    std::promise<void> stopped;
    net::post(engine_->context(), [&] {
      core_->stop();
      stopped.set_value();
    });
    stopped.get_future().wait();
  }

private:
  std::shared_ptr<io_thread> engine_;
  std::shared_ptr<transport_core> core_;
};

// ---- from settings ---------------------------------------------------------------------------------------------------------------

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0'); // One more for the final NUL that it writes.
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

bool has_control(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

/// Everything of the settings that does not depend on the hub's address, checked.
struct blueprint {
  transport_settings settings;
  std::optional<url> proxy;
  no_proxy_list no_proxy;
};

result<blueprint> check(const transport_settings& settings) {
  blueprint out{settings, std::nullopt, {}};
  if (has_control(settings.token) || settings.token.find(' ') != std::string::npos)
    return make_error(errc::invalid_config, "the token has a blank, a line end or another character that no token has");
  if (settings.proxy.url.empty())
    return out;
  auto proxy = parse_proxy_url(settings.proxy.url);
  if (!proxy)
    return std::move(proxy).err();
  out.proxy = *proxy;
  if (settings.proxy.user.find(':') != std::string::npos || has_control(settings.proxy.user)
      || has_control(settings.proxy.password))
    return make_error(errc::invalid_config,
                      "proxy.user may hold no colon, and neither it nor proxy.password a control character");
  if (settings.proxy.user.empty() && !settings.proxy.password.empty())
    return make_error(errc::invalid_config, "proxy.password is set, but proxy.user is not");
  auto list = no_proxy_list::parse(settings.proxy.no_proxy);
  if (!list)
    return std::move(list).err();
  out.no_proxy = *list;
  return out;
}

result<std::shared_ptr<destination>> make_destination(const blueprint& plan, const std::string& hub_url) {
  auto hub = parse_hub_url(hub_url);
  if (!hub)
    return std::move(hub).err();
  auto out = std::make_shared<destination>();
  out->hub = *hub;
  out->body_limit = plan.settings.body_limit;
  out->head_fields = "Host: " + hub->host_header() + "\r\nUser-Agent: sallyport/" SALLYPORT_VERSION "\r\n";
  if (!plan.settings.token.empty())
    out->head_fields += "Authorization: Bearer " + plan.settings.token + "\r\n";
  const bool secure = hub->scheme == "https";
  if (plan.proxy && secure && !plan.no_proxy.matches(hub->host)) { // Plain http goes to this machine only.
    out->proxy = plan.proxy;
    const auto& p = plan.settings.proxy;
    out->proxy_user = p.user;
    if (!p.user.empty())
      out->proxy_authorization = "Basic " + base64(p.user + ":" + p.password);
  }
  if (const auto& hop = out->proxy ? *out->proxy : out->hub; hop.is_address)
    out->addresses = {hop.host};
  if (secure) {
    auto tls = tls_context::make(plan.settings.tls, hub->host);
    if (!tls)
      return std::move(tls).err();
    out->tls = std::move(*tls);
  }
  return out;
}

} // namespace

result<runtime::transport_factory> make_https_transport_factory(const transport_settings& settings,
                                                                std::shared_ptr<io_thread> thread) {
  auto plan = check(settings);
  if (!plan)
    return std::move(plan).err();
  if (!settings.tls.ca_file.empty()) { // The system's store needs no check, and reading it takes tens of milliseconds.
    if (auto trust = tls_context::make(settings.tls, "localhost"); !trust)
      return std::move(trust).err();
  }
  return runtime::transport_factory([plan = *plan, engine = thread ? std::move(thread) : std::make_shared<io_thread>()](
                                      const std::string& hub_url) -> result<std::shared_ptr<transport>> {
    auto to = make_destination(plan, hub_url);
    if (!to)
      return std::move(to).err();
    return std::shared_ptr<transport>(std::make_shared<https_transport>(engine, *to));
  });
}

result<runtime::transport_factory> make_https_transport_factory(const config::agent_settings& settings,
                                                                std::shared_ptr<io_thread> thread) {
  for (const auto& hub : settings.hubs) {
    if (auto parsed = parse_hub_url(hub); !parsed)
      return std::move(parsed).err();
  }
  // Events are the greater part of a claim's answer; the rest is the envelope of each grant.
  const auto body_limit = std::max<std::size_t>(32u << 20, 2 * settings.claim_max_bytes + (8u << 20));
  return make_https_transport_factory({settings.token, settings.tls, settings.proxy, body_limit}, std::move(thread));
}

} // namespace sallyport::io
