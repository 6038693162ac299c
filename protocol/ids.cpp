#include "protocol/ids.hpp"

#include <openssl/evp.h>
#define XXH_INLINE_ALL // The whole of it is in the header: nothing to link.
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace sallyport {

namespace {

using sha256_digest = std::array<unsigned char, 32>;

struct evp_delete {
  void operator()(EVP_MD* md) const { EVP_MD_free(md); }
  void operator()(EVP_MD_CTX* ctx) const { EVP_MD_CTX_free(ctx); }
};

// A fetched digest and a context per thread: fetching by name for each hash costs more than hashing a fence.
class sha256 {
public:
  static sha256& of_this_thread() {
    thread_local sha256 instance;
    return instance;
  }
  void begin() { SALLYPORT_ASSERT(EVP_DigestInit_ex2(ctx_.get(), md_.get(), nullptr) == 1); }
  void add(std::string_view bytes) { SALLYPORT_ASSERT(EVP_DigestUpdate(ctx_.get(), bytes.data(), bytes.size()) == 1); }
  sha256_digest end() {
    sha256_digest out;
    SALLYPORT_ASSERT(EVP_DigestFinal_ex(ctx_.get(), out.data(), nullptr) == 1);
    return out;
  }

private:
  sha256() : md_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), ctx_(EVP_MD_CTX_new()) {
    SALLYPORT_ASSERT(md_ != nullptr);
    SALLYPORT_ASSERT(ctx_ != nullptr);
  }

  std::unique_ptr<EVP_MD, evp_delete> md_;
  std::unique_ptr<EVP_MD_CTX, evp_delete> ctx_;
};

std::uint64_t big_endian(const unsigned char* bytes) {
  std::uint64_t n = 0;
  for (int i = 0; i < 8; ++i)
    n = n << 8 | bytes[i];
  return n;
}

// One written form per value: an id is compared as a string by those to whom it is opaque.
bool take_number(std::string_view text, std::uint64_t& n) {
  if (text.empty() || (text.size() > 1 && text[0] == '0'))
    return false;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  return ec == std::errc{} && end == text.data() + text.size();
}

bool split(std::string_view prefix, std::string_view text, std::uint64_t& first, std::uint64_t& second) {
  if (!text.starts_with(prefix))
    return false;
  text.remove_prefix(prefix.size());
  const auto dash = text.find('-');
  return dash != text.npos && take_number(text.substr(0, dash), first) && take_number(text.substr(dash + 1), second);
}

template <class Id>
std::optional<Id> parse(std::string_view prefix, std::string_view text) {
  std::uint64_t first = 0, second = 0;
  if (!split(prefix, text, first, second))
    return std::nullopt;
  return Id{first, second};
}

bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

} // namespace

id_text::id_text(char prefix, std::uint64_t first, std::uint64_t second) {
  auto* at = text_.data();
  auto* const end = at + text_.size();
  if (prefix != 0)
    *at++ = prefix;
  at = std::to_chars(at, end, first).ptr;
  *at++ = '-';
  at = std::to_chars(at, end, second).ptr;
  size_ = static_cast<std::uint8_t>(at - text_.data());
}

std::string to_string(fence_token fence) {
  return std::string{id_text{fence}.view()};
}
std::string to_string(message_id id) {
  return std::string{id_text{id}.view()};
}
std::string to_string(session_id id) {
  return std::string{id_text{id}.view()};
}

std::optional<fence_token> parse_fence(std::string_view text) {
  return parse<fence_token>("", text);
}
std::optional<message_id> parse_message_id(std::string_view text) {
  return parse<message_id>("m", text);
}
std::optional<session_id> parse_session_id(std::string_view text) {
  return parse<session_id>("s", text);
}

bool is_valid_name(std::string_view text) {
  return !text.empty() && text.size() <= 63 && is_lower_alnum(text[0])
         && std::all_of(text.begin(), text.end(), [](char c) { return is_lower_alnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool is_valid_token_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

digest128 content_digest(std::string_view bytes) {
  const auto hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

digest128 hash_parts(std::initializer_list<std::string_view> parts) {
  auto& hash = sha256::of_this_thread();
  hash.begin();
  for (auto part : parts) {
    std::array<char, 8> length; // Big endian, so that the digest is the same on every machine.
    for (int i = 0; i < 8; ++i)
      length[static_cast<std::size_t>(i)] = static_cast<char>(std::uint64_t{part.size()} >> (56 - 8 * i));
    hash.add({length.data(), length.size()});
    hash.add(part);
  }
  const auto digest = hash.end();
  return {big_endian(digest.data()), big_endian(digest.data() + 8)};
}

void held_summary::toggle(fence_token fence) {
  auto& hash = sha256::of_this_thread();
  hash.begin();
  hash.add(id_text{fence}.view());
  hash_ ^= big_endian(hash.end().data());
}

} // namespace sallyport
