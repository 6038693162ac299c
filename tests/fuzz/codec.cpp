// Bodies of the wire. The first byte says of which kind ('a' and on, in the order of `kinds`): requests, as a hostile client sends them,
// and replies, as a hostile hub does. What is accepted must come out of encode() and decode() again unchanged.
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <simdjson.h>

#include <array>

namespace {

using namespace sallyport;

void expect_json(const std::string& text) {
  static simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto failed = parser.parse(text).get(root);
  SALLYPORT_ASSERT(failed == simdjson::SUCCESS || failed == simdjson::NUMBER_ERROR);
}

template <class T>
void there_and_back(std::string_view body) {
  const auto first = wire::decode<T>(body);
  if (!first) {
    SALLYPORT_ASSERT(!first.err().detail.empty());
    return;
  }
  const auto text = wire::encode(*first);
  expect_json(text);
  const auto second = wire::decode<T>(text);
  SALLYPORT_ASSERT(second.ok());
  SALLYPORT_ASSERT(wire::encode(*second) == text);
}

template <class T>
void framed_there_and_back(std::string_view body) {
  const auto first = wire::decode_frames<T>(body);
  if (!first) {
    SALLYPORT_ASSERT(!first.err().detail.empty());
    return;
  }
  const auto bytes = wire::encode_frames(*first);
  const auto second = wire::decode_frames<T>(bytes);
  SALLYPORT_ASSERT(second.ok());
  SALLYPORT_ASSERT(wire::encode_frames(*second) == bytes);
}

void problem(std::string_view body) {
  const auto first = wire::decode_problem(body);
  const auto text = wire::encode(first);
  expect_json(text);
  const auto second = wire::decode_problem(text);
  SALLYPORT_ASSERT(second.code == first.code);
  SALLYPORT_ASSERT(wire::encode(second) == text);
}

constexpr std::array kinds{&there_and_back<wire::open_session>,
                           &there_and_back<wire::heartbeat>,
                           &there_and_back<wire::claim>, // a b c
                           &there_and_back<wire::settle>,
                           &there_and_back<wire::extend>,
                           &there_and_back<wire::policy_patch>, // d e f
                           &there_and_back<wire::redrive>,
                           &there_and_back<wire::session_opened>, // g h
                           &there_and_back<wire::heartbeat_reply>,
                           &there_and_back<wire::session_closed>, // i j
                           &there_and_back<wire::claim_reply>,
                           &there_and_back<wire::settle_reply>, // k l
                           &there_and_back<wire::extend_reply>,
                           &there_and_back<wire::enqueue_reply>, // m n
                           &there_and_back<wire::message_view>,
                           &there_and_back<wire::cancel_reply>, // o p
                           &there_and_back<wire::call_reply>,
                           &there_and_back<wire::connection_view>, // q r
                           &there_and_back<wire::group_view>,
                           &there_and_back<wire::groups_reply>, // s t
                           &there_and_back<wire::queue_page>,
                           &there_and_back<wire::count_reply>, // u v
                           &problem,                           // w
                           &framed_there_and_back<wire::claim_reply>,
                           &framed_there_and_back<wire::settle>,
                           &framed_there_and_back<wire::settle_reply>}; // x y z

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || data[0] < 'a' || data[0] >= 'a' + kinds.size())
    return -1; // Not for the corpus.
  kinds[data[0] - 'a'](fuzz::as_text(data + 1, size - 1));
  return 0;
}
