// What the writer process appends and what must therefore be found after it was killed: a function of the tail alone.
#pragma once

#include "tests/cloud/store/samples.hpp"

namespace sallyport::testing::kill_model {

/// How many records append number n (the tail it leads to) brings: 1 to 40.
inline std::uint64_t count_of(std::uint64_t n) {
  return 1 + n * 2'654'435'761u % 40;
}
inline std::string name_of(std::uint64_t n, std::uint64_t i) {
  return key_of(n) + key_of(i);
}
inline std::size_t size_of(std::uint64_t n, std::uint64_t i) {
  return (n + i) % 17 == 0 ? 20'000 : 100 + (n * 31 + i * 97) % 2'000;
}
/// The records of an append live for this many further ones.
inline constexpr std::uint64_t life = 7;

inline cloud::batch changes_of(std::uint64_t n) {
  cloud::batch changes;
  for (std::uint64_t i = 0; i < count_of(n); ++i) {
    changes.push_back(put_meta(name_of(n, i), value_of(n + i, 120)));
    changes.push_back(put_content(name_of(n, i), value_of(n + i, size_of(n, i))));
  }
  if (n > life)
    for (std::uint64_t i = 0; i < count_of(n - life); ++i) {
      changes.push_back(del(cloud::tree::meta, name_of(n - life, i)));
      changes.push_back(del(cloud::tree::content, name_of(n - life, i)));
    }
  return changes;
}

/// Empty when the store holds exactly what it must at this tail.
inline std::string judge(cloud::store_port& store, std::uint64_t tail) {
  std::map<std::string, std::string> expected;
  for (auto n = tail >= life ? tail - life + 1 : 1; n <= tail; ++n)
    for (std::uint64_t i = 0; i < count_of(n); ++i) {
      expected[name_of(n, i)] = value_of(n + i, 120);
      const auto payload = store.fetch(name_of(n, i));
      if (!payload || !*payload || **payload != value_of(n + i, size_of(n, i)))
        return "a payload of append " + std::to_string(n) + " is not whole";
    }
  return replayed(store) == expected ? "" : "the records are not those of tail " + std::to_string(tail);
}

} // namespace sallyport::testing::kill_model
