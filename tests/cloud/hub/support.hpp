// What the hub's tests share: temp folders, stores that can be held up, raw sockets that say exactly what they are told.
#pragma once

#include "cloud/hub/api.hpp"
#include "cloud/hub/hub.hpp"
#include "cloud/store/memory.hpp"

#include <gtest/gtest.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <thread>

namespace sallyport::cloud::test {

using namespace std::chrono_literals;

class temp_folder {
public:
  temp_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "sallyport-hub-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~temp_folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
  std::string path_;
};

/// Waits for a condition; generous, since it decides nothing but how long a failure takes.
inline bool eventually(const std::function<bool()>& holds, milliseconds within = 20s) {
  for (const auto until = std::chrono::steady_clock::now() + within; std::chrono::steady_clock::now() < until;) {
    if (holds())
      return true;
    std::this_thread::sleep_for(2ms);
  }
  return holds();
}

/// A store whose replay or appends wait until they are let go.
class gated_store final : public store_port {
public:
  explicit gated_store(std::shared_ptr<memory_disk> disk) : inner_(std::move(disk)) {}

  struct gate {
    void close() { set(true); }
    void open() { set(false); }
    void pass() {
      std::unique_lock lock{mutex_};
      ++waiting_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !closed_; });
      --waiting_;
    }
    void wait_for_a_guest() {
      std::unique_lock lock{mutex_};
      ASSERT_TRUE(changed_.wait_for(lock, 20s, [&] { return waiting_ > 0; }));
    }

  private:
    void set(bool closed) {
      std::lock_guard lock{mutex_};
      closed_ = closed;
      changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    bool closed_ = false;
    int waiting_ = 0;
  };
  struct gates {
    gate replay, append;
  };
  std::shared_ptr<gates> doors = std::make_shared<gates>();

  result<opened_store> open(epoch_number at_least) override { return inner_.open(at_least); }
  result<void> replay(const std::function<void(std::string_view, std::string_view)>& visitor) override {
    doors->replay.pass();
    return inner_.replay(visitor);
  }
  append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes) override {
    doors->append.pass();
    return inner_.append(epoch, tail, changes);
  }
  result<std::shared_ptr<const std::string>> fetch(std::string_view key) override { return inner_.fetch(key); }
  store_space space() override { return inner_.space(); }
  void close() override { inner_.close(); }

private:
  memory_store inner_;
};

struct reply {
  int status = 0;
  std::map<std::string, std::string> headers; // Names in lower case.
  std::string body;
  bool closed = false; // Nothing more came: the connection ended instead.

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string{} : found->second;
  }
  /// The `code` of a problem.
  [[nodiscard]] std::string code() const {
    const auto at = body.find("\"code\":\"");
    return at == body.npos ? std::string{} : body.substr(at + 8, body.find('"', at + 8) - at - 8);
  }
};

/// A client that sends bytes as they are. Plain, or TLS within the given versions.
class raw_client {
public:
  explicit raw_client(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~raw_client() {
    if (ssl_)
      SSL_free(ssl_);
    if (context_)
      SSL_CTX_free(context_);
    hang_up();
  }
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }

  /// The negotiated version, or nothing when the handshake failed.
  std::string handshake(int version_min, int version_max, const char* ciphers = nullptr) {
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context_, 0); // Or the client itself would refuse what the hub is to refuse.
    SSL_CTX_set_min_proto_version(context_, version_min);
    SSL_CTX_set_max_proto_version(context_, version_max);
    if (ciphers)
      SSL_CTX_set_cipher_list(context_, ciphers);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, fd_);
    return SSL_connect(ssl_) == 1 ? SSL_get_version(ssl_) : "";
  }

  /// Of the hub's certificate, to tell two apart.
  [[nodiscard]] std::string public_key() const {
    auto* cert = SSL_get1_peer_certificate(ssl_);
    unsigned char* bytes = nullptr;
    const auto size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &bytes);
    std::string key{reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
    OPENSSL_free(bytes);
    X509_free(cert);
    return key;
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto n = ssl_ ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                          : static_cast<int>(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
      if (n <= 0)
        return;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  void hang_up() {
    if (fd_ >= 0)
      ::close(fd_);
    fd_ = -1;
  }

  /// The next response. `to_head`: one without body, whatever it says its length is.
  reply receive(bool to_head = false) {
    reply r;
    std::size_t end = 0;
    while ((end = in_.find("\r\n\r\n")) == in_.npos)
      if (!more()) {
        r.closed = true;
        return r;
      }
    auto head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    r.status = std::atoi(head.substr(head.find(' ') + 1).c_str());
    for (auto at = head.find("\r\n") + 2; at < head.size();) {
      const auto line = head.substr(at, head.find("\r\n", at) - at);
      auto name = line.substr(0, line.find(':'));
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      r.headers[name] = line.substr(std::min(line.size(), line.find(':') + 2));
      at += line.size() + 2;
    }
    const auto length = to_head ? 0 : static_cast<std::size_t>(std::atoll(r.header("content-length").c_str()));
    while (in_.size() < length)
      if (!more())
        break;
    r.body = in_.substr(0, length);
    in_.erase(0, length);
    return r;
  }

  /// True when the hub has closed the connection and nothing more came before that.
  bool is_closed() { return in_.empty() && !more(); }

  reply ask(std::string_view bytes) {
    send(bytes);
    return receive();
  }

private:
  bool more() {
    char buffer[16 << 10];
    const auto n = ssl_ ? SSL_read(ssl_, buffer, sizeof buffer) : static_cast<int>(::recv(fd_, buffer, sizeof buffer, 0));
    if (n <= 0)
      return false;
    in_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  std::string in_;
};

/// A request as curl would write it.
inline std::string request(std::string_view method, std::string_view target, std::string_view body = {},
                           std::string_view type = "application/json", std::string_view more = {},
                           std::string_view token = "dev") {
  std::string out;
  out.append(method).append(" ").append(target).append(" HTTP/1.1\r\nHost: hub\r\n");
  if (!token.empty())
    out.append("Authorization: Bearer ").append(token).append("\r\n");
  if (!body.empty())
    out.append("Content-Type: ").append(type).append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  return out.append(more).append("\r\n").append(body);
}

inline constexpr std::string_view event_type = "application/cloudevents+json", batch_type = "application/cloudevents-batch+json";

inline std::string event(std::string_view id, std::string_view data = "1") {
  return R"({"specversion":"1.0","id":")" + std::string{id} + R"(","source":"/test","type":"t","data":)" + std::string{data}
         + "}";
}

/// The text of a field "name":"text" or "name":number in JSON written by us.
inline std::string field(const std::string& json, const std::string& name) {
  const auto at = json.find("\"" + name + "\":");
  if (at == json.npos)
    return {};
  auto from = at + name.size() + 3;
  if (json[from] == '"')
    return json.substr(from + 1, json.find('"', from + 1) - from - 1);
  return json.substr(from, json.find_first_of(",}]", from) - from);
}

inline config::hub_settings dev_settings(const temp_folder& folder) {
  config::hub_settings s;
  s.dev = true;
  s.listen = "127.0.0.1:0";
  s.data_dir = folder.path();
  s.threads = 2;
  return s;
}

/// A hub with a store in memory and a free port.
struct running_hub {
  temp_folder folder;
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<cloud::hub> hub;

  explicit running_hub(const std::function<void(config::hub_settings&)>& adjust = {},
                       std::unique_ptr<store_port> store = nullptr) {
    auto settings = dev_settings(folder);
    if (adjust)
      adjust(settings);
    hub_parts parts;
    parts.store = store ? std::move(store) : std::make_unique<memory_store>(disk);
    auto started = hub::start(settings, std::move(parts));
    if (started)
      hub = *std::move(started);
    else
      ADD_FAILURE() << to_string(started.err());
  }

  [[nodiscard]] std::uint16_t port() const { return hub->port(); }

  /// One gauge or counter of /metrics.
  double metric(const std::string& line_start) const {
    raw_client c{port()};
    const auto text = "\n" + c.ask(request("GET", "/metrics")).body;
    const auto at = text.find("\n" + line_start + " ");
    return at == text.npos ? -1 : std::atof(text.c_str() + at + line_start.size() + 2);
  }

  /// The body that opens a session for agent `name` of group g with connection c up.
  static std::string opening(const std::string& name, int incarnation = 1) {
    return R"({"group":"g","agent":")" + name + R"(","agent_id":"id-)" + name + R"(","incarnation":)"
           + std::to_string(incarnation) + R"(,"opening":1,"connections":[{"name":"c","adapter":"null","state":"up"}]})";
  }
  std::string open_session(const std::string& name) const {
    raw_client c{port()};
    return field(c.ask(request("POST", "/v1/sessions", opening(name))).body, "session");
  }
  static std::string claiming(int seq, int wait_ms) {
    return R"({"lane":"l","seq":)" + std::to_string(seq) + R"(,"max_messages":10,"max_bytes":1000000,"wait_ms":)"
           + std::to_string(wait_ms) + R"(,"connections":[{"name":"c","credit":10}]})";
  }
};

} // namespace sallyport::cloud::test
