// The first line as an Authorization field, the rest as tokens.toml. A file that is accepted must come back the same from to_toml(), and
// lets in nobody whose token's hash does not stand in it.
#include "config/tokens.hpp"
#include "cloud/hub/http_guard.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

namespace {

using namespace sallyport;

bool same(const config::token_entry& a, const config::token_entry& b) {
  return a.id == b.id && a.grant == b.grant && a.created_at == b.created_at && a.hash == b.hash;
}

void judge_bearer(std::string_view field) {
  const auto token = cloud::bearer_token(field);
  if (!token)
    return;
  SALLYPORT_ASSERT(field.size() >= 8);
  SALLYPORT_ASSERT((field[0] | 0x20) == 'b' && (field[5] | 0x20) == 'r' && field[6] == ' ');
  SALLYPORT_ASSERT(token->empty() || (token->front() != ' ' && token->back() != ' '));
  SALLYPORT_ASSERT(token->empty() || field.substr(7).find(*token) != field.npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto in = fuzz::as_text(data, size);
  const auto field = fuzz::take_line(in);
  judge_bearer(field);
  const auto file = config::token_file::parse(in, "tokens.toml");
  if (!file) {
    SALLYPORT_ASSERT(!file.err().detail.empty());
    return 0;
  }
  for (const auto& e : file->entries()) {
    SALLYPORT_ASSERT(!e.id.empty());
    SALLYPORT_ASSERT(!e.grant.groups.empty());
    SALLYPORT_ASSERT(e.grant.covers({"plant"}) == std::any_of(e.grant.groups.begin(), e.grant.groups.end(), [](const auto& g) {
                       return g == "*" || g == "plant";
                     }));
  }
  const auto again = config::token_file::parse(file->to_toml(), "tokens.toml");
  SALLYPORT_ASSERT(again.ok());
  SALLYPORT_ASSERT(
    std::equal(file->entries().begin(), file->entries().end(), again->entries().begin(), again->entries().end(), same));
  // No fuzzer finds what has a given SHA-256: but for the token of the seed, nobody is let in.
  const auto token = cloud::bearer_token(field).value_or("");
  SALLYPORT_ASSERT(!file->lookup(token) || token == "sp_seed" || token.empty());
  return 0;
}
