// The store port's contract in executable form. A backend stands for one disk:
//
//   std::unique_ptr<store_port> store();   another store on the same disk, closed
//   void use_small_disk();                 a few MiB; to be called before the first store()
//
// A new implementation passes when INSTANTIATE_TYPED_TEST_SUITE_P(name, store_conformance, its_backend) does.
#pragma once

#include "cloud/store/port.hpp"
#include "tests/cloud/store/samples.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

namespace sallyport::cloud {

template <class Backend>
class store_conformance : public ::testing::Test {
protected:
  using records = std::map<std::string, std::string>;

  void open(epoch_number at_least = {}) {
    store = backend.store();
    const auto opened = store->open(at_least);
    ASSERT_TRUE(opened.ok()) << to_string(opened.err());
    epoch = opened->epoch;
    tail = opened->tail;
  }
  void reopen() {
    store->close();
    open();
  }
  /// Appends as the owner does, following the tail.
  append_status append(const batch& changes) {
    const auto outcome = store->append(epoch, tail, changes);
    if (outcome.status == append_status::durable)
      tail = outcome.tail;
    detail = outcome.detail;
    return outcome.status;
  }
  std::string content(const std::string& key) {
    auto fetched = store->fetch(key);
    if (!fetched)
      return "error: " + to_string(fetched.err());
    return *fetched ? **fetched : "nothing";
  }

  Backend backend;
  std::unique_ptr<store_port> store;
  epoch_number epoch;
  std::uint64_t tail = 0;
  std::string detail;
};

TYPED_TEST_SUITE_P(store_conformance);

TYPED_TEST_P(store_conformance, a_new_store_is_empty_and_has_an_epoch) {
  this->open();
  EXPECT_GE(this->epoch.value, 1u);
  EXPECT_TRUE(testing::replayed(*this->store).empty());
  EXPECT_EQ(this->content("k"), "nothing");
}

TYPED_TEST_P(store_conformance, every_open_raises_the_epoch_and_honours_the_least_asked_for) {
  this->open();
  const auto first = this->epoch.value;
  this->reopen();
  EXPECT_EQ(this->epoch.value, first + 1);
  this->store->close();
  this->open({1'000'000});
  EXPECT_EQ(this->epoch.value, 1'000'000u);
  this->store->close();
  this->open({5}); // Lower than what is stored: it must not go back.
  EXPECT_EQ(this->epoch.value, 1'000'001u);
}

TYPED_TEST_P(store_conformance, records_and_tail_survive_close_and_reopen) {
  this->open();
  const auto before = this->tail;
  ASSERT_EQ(this->append({testing::put_meta("b", "2"), testing::put_meta("a", "1"), testing::put_content("c", "3")}),
            append_status::durable);
  EXPECT_GT(this->tail, before);
  const auto after = this->tail;
  this->reopen();
  EXPECT_EQ(this->tail, after);
  EXPECT_EQ(testing::replayed(*this->store), (std::map<std::string, std::string>{{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(this->content("c"), "3");
}

TYPED_TEST_P(store_conformance, what_was_appended_is_seen_at_once) {
  this->open();
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(this->append({testing::put_content("c", std::to_string(round))}), append_status::durable);
    EXPECT_EQ(this->content("c"), std::to_string(round));
  }
}

TYPED_TEST_P(store_conformance, the_trees_are_apart) {
  this->open();
  ASSERT_EQ(this->append({testing::put_meta("k", "meta"), testing::put_content("k", "content")}), append_status::durable);
  ASSERT_EQ(this->append({testing::del(tree::meta, "k")}), append_status::durable);
  EXPECT_TRUE(testing::replayed(*this->store).empty());
  EXPECT_EQ(this->content("k"), "content");
}

TYPED_TEST_P(store_conformance, deleting_what_is_not_there_is_no_error) {
  this->open();
  EXPECT_EQ(this->append({testing::del(tree::meta, "none"), testing::del(tree::content, "none")}), append_status::durable);
  ASSERT_EQ(this->append({testing::put_meta("z", ""), testing::put_content("z", "")}), append_status::durable);
  EXPECT_EQ(this->append({testing::del(tree::meta, "none"), testing::del(tree::content, "none")}), append_status::durable);
  EXPECT_EQ(testing::replayed(*this->store).size(), 1u);
}

TYPED_TEST_P(store_conformance, an_empty_batch_is_durable) {
  this->open();
  EXPECT_EQ(this->append({}), append_status::durable);
}

TYPED_TEST_P(store_conformance, later_changes_of_a_batch_win) {
  this->open();
  const auto long_value = testing::value_of(1, 20'000);
  for (const auto where : {tree::meta, tree::content})
    ASSERT_EQ(this->append({testing::put(where, "b", "first"), testing::put(where, "a", "1"),
                            testing::put(where, "b", long_value), testing::del(where, "c"), testing::put(where, "b", "last"),
                            testing::put(where, "gone", "x"), testing::del(where, "gone"), testing::put(where, "c", "late")}),
              append_status::durable);
  EXPECT_EQ(testing::replayed(*this->store), (std::map<std::string, std::string>{{"a", "1"}, {"b", "last"}, {"c", "late"}}));
  EXPECT_EQ(this->content("b"), "last");
  EXPECT_EQ(this->content("c"), "late");
  EXPECT_EQ(this->content("gone"), "nothing");
}

TYPED_TEST_P(store_conformance, a_shared_value_is_stored_like_an_owned_one) {
  this->open();
  change shared = testing::put_content("k", "");
  shared.shared_value = std::make_shared<const std::string>("shared");
  ASSERT_EQ(this->append({shared}), append_status::durable);
  EXPECT_EQ(this->content("k"), "shared");
}

TYPED_TEST_P(store_conformance, a_stale_epoch_leaves_nothing_behind) {
  this->open();
  const auto old = this->epoch;
  ASSERT_EQ(this->append({testing::put_meta("kept", "1"), testing::put_content("kept", "1")}), append_status::durable);
  this->reopen();
  const auto outcome = this->store->append(old, this->tail,
                                           {testing::put_meta("new", "x"), testing::del(tree::meta, "kept"),
                                            testing::put_content("new", "x"), testing::del(tree::content, "kept")});
  EXPECT_EQ(outcome.status, append_status::fenced);
  EXPECT_FALSE(outcome.detail.empty());
  this->reopen();
  EXPECT_EQ(testing::replayed(*this->store), (std::map<std::string, std::string>{{"kept", "1"}}));
  EXPECT_EQ(this->content("kept"), "1");
  EXPECT_EQ(this->content("new"), "nothing");
}

TYPED_TEST_P(store_conformance, a_stale_tail_leaves_nothing_behind) {
  this->open();
  const auto old = this->tail;
  ASSERT_EQ(this->append({testing::put_meta("kept", "1")}), append_status::durable);
  for (const auto wrong : {old, this->tail + 1}) {
    const auto outcome =
      this->store->append(this->epoch, wrong, {testing::put_meta("new", "x"), testing::del(tree::meta, "kept")});
    EXPECT_EQ(outcome.status, append_status::fenced);
  }
  EXPECT_EQ(testing::replayed(*this->store), (std::map<std::string, std::string>{{"kept", "1"}}));
  EXPECT_EQ(this->append({testing::put_meta("next", "2")}), append_status::durable) << "the owner goes on with the tail it has";
}

TYPED_TEST_P(store_conformance, values_of_every_length_come_back_whole) {
  this->open();
  // Around what fits beside others in a page, in a page of its own, and in pieces; and the largest event.
  const std::vector<std::size_t> sizes{0,    1,    100,  2035, 2036, 2037,   2038,    4078,          4079,   4080,
                                       4081, 8159, 8160, 8161, 8192, 65'536, 1 << 20, (1 << 20) + 1, 3 << 20};
  batch changes;
  for (const auto size : sizes) {
    changes.push_back(testing::put_content(testing::key_of(size), testing::value_of(size, size)));
    if (size <= 65'536)
      changes.push_back(testing::put_meta(testing::key_of(size), testing::value_of(size, size)));
  }
  ASSERT_EQ(this->append(changes), append_status::durable) << this->detail;
  this->reopen();
  const auto meta = testing::replayed(*this->store);
  for (const auto size : sizes) {
    EXPECT_TRUE(this->content(testing::key_of(size)) == testing::value_of(size, size)) << size;
    if (size <= 65'536) {
      EXPECT_TRUE(meta.at(testing::key_of(size)) == testing::value_of(size, size)) << size;
    }
  }
}

TYPED_TEST_P(store_conformance, a_value_replaced_by_a_longer_or_shorter_one_leaves_nothing_of_itself) {
  this->open();
  const auto empty = this->store->space().used_bytes;
  for (const std::size_t size : {100'000, 10, 0, 9'000, 4'079, 4'080, 50'000, 5'000}) {
    ASSERT_EQ(this->append({testing::put_content("k", testing::value_of(size, size))}), append_status::durable);
    EXPECT_TRUE(this->content("k") == testing::value_of(size, size)) << size;
  }
  ASSERT_EQ(this->append({testing::del(tree::content, "k")}), append_status::durable);
  EXPECT_EQ(this->content("k"), "nothing");
  this->reopen(); // What was deleted may count as used for a while.
  EXPECT_LE(this->store->space().used_bytes, empty + 64 * 1024);
}

TYPED_TEST_P(store_conformance, keys_that_begin_alike_do_not_touch_each_other) {
  this->open();
  // Long values, so that whatever an implementation derives from a key is derived here.
  std::vector<std::string> keys{"a",  std::string("a\0", 2), std::string("a\0\0\0\0", 5), std::string("a\0\0\0\1", 5),
                                "aa", std::string(400, 'a'), std::string(399, 'a')};
  for (std::size_t i = 0; i < keys.size(); ++i)
    ASSERT_EQ(this->append({testing::put_content(keys[i], testing::value_of(i, 10'000 + i))}), append_status::durable);
  for (std::size_t gone = 0; gone < keys.size(); ++gone) {
    for (std::size_t i = gone; i < keys.size(); ++i)
      ASSERT_TRUE(this->content(keys[i]) == testing::value_of(i, 10'000 + i)) << i << " after " << gone << " deletions";
    ASSERT_EQ(this->append({testing::del(tree::content, keys[gone])}), append_status::durable);
    EXPECT_EQ(this->content(keys[gone]), "nothing");
  }
}

TYPED_TEST_P(store_conformance, many_small_records_replay_in_order) {
  this->open();
  std::map<std::string, std::string> expected;
  for (std::uint64_t round = 0; round < 40; ++round) {
    batch changes;
    for (std::uint64_t i = 0; i < 500; ++i) {
      const auto number = i * 40 + round; // Between the keys that are there.
      changes.push_back(testing::put_meta(testing::key_of(number), std::to_string(number)));
      expected[testing::key_of(number)] = std::to_string(number);
    }
    ASSERT_EQ(this->append(changes), append_status::durable);
  }
  this->reopen();
  EXPECT_TRUE(testing::replayed(*this->store) == expected);
}

TYPED_TEST_P(store_conformance, any_sequence_of_batches_equals_the_same_changes_on_a_map) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random{seed};
  const auto below = [&](std::uint32_t n) { return random() % n; };
  std::map<std::string, std::string> meta, payloads;
  this->open();
  for (int round = 0; round < 150; ++round) {
    batch changes;
    auto next_meta = meta;
    auto next_payloads = payloads;
    for (auto n = below(40); n > 0; --n) {
      const bool is_meta = below(2) == 0;
      auto& records = is_meta ? next_meta : next_payloads;
      const auto where = is_meta ? tree::meta : tree::content;
      const auto key = testing::key_of(below(300));
      if (below(3) == 0) {
        records.erase(key);
        changes.push_back(testing::del(where, key));
      } else {
        const auto value = testing::value_of(random(), below(8) == 0 ? below(30'000) : below(1'500));
        records[key] = value;
        changes.push_back(testing::put(where, key, value));
      }
    }
    if (below(10) == 0) {
      ASSERT_EQ(this->store->append(this->epoch, this->tail + 1, changes).status, append_status::fenced);
    } else {
      ASSERT_EQ(this->append(changes), append_status::durable) << this->detail;
      meta = std::move(next_meta);
      payloads = std::move(next_payloads);
    }
    if (below(15) == 0)
      this->reopen();
    if (below(5) == 0) {
      ASSERT_TRUE(testing::replayed(*this->store) == meta) << "round " << round;
      for (std::uint64_t number = 0; number < 300; ++number) {
        const auto found = payloads.find(testing::key_of(number));
        ASSERT_TRUE(this->content(testing::key_of(number)) == (found == payloads.end() ? "nothing" : found->second)) << number;
      }
    }
  }
}

TYPED_TEST_P(store_conformance, a_store_filled_to_full_drains_to_empty_and_fills_again) {
  this->backend.use_small_disk();
  this->open();
  const auto used_empty = this->store->space().used_bytes;
  std::mt19937 random{42};
  std::uint64_t next = 0;
  std::size_t held_first = 0;
  for (int cycle = 0; cycle < 4; ++cycle) {
    const std::size_t size = cycle % 3 == 0 ? 1'000 : cycle % 3 == 1 ? 3'000 : 30'000;
    const std::uint64_t fill_size = size > 10'000 ? 1 : 16;
    std::vector<std::uint64_t> held;
    for (;;) {
      batch changes;
      for (std::uint64_t i = next; i < next + fill_size; ++i) {
        changes.push_back(testing::put_meta(testing::key_of(i), testing::value_of(i, 120)));
        changes.push_back(testing::put_content(testing::key_of(i), testing::value_of(i, size)));
      }
      const auto status = this->append(changes);
      if (status == append_status::full)
        break;
      ASSERT_EQ(status, append_status::durable) << this->detail;
      for (std::uint64_t i = 0; i < fill_size; ++i)
        held.push_back(next++);
      ASSERT_LT(held.size(), 100'000u) << "it never becomes full";
    }
    if (cycle == 0)
      held_first = held.size();
    if (size == 1'000) {
      EXPECT_GE(held.size(), held_first * 8 / 10) << "space was lost";
    }
    const auto space = this->store->space();
    EXPECT_FALSE(space.admits(1)) << "used " << space.used_bytes << " of " << space.capacity_bytes << ", disk "
                                  << space.disk_free_bytes;
    EXPECT_GE(space.used_bytes + 256 * 1024, space.capacity_bytes);
    EXPECT_EQ(testing::replayed(*this->store).size(), held.size());

    // The refused batch left nothing, and a settlement's small record goes in together with what it removes.
    EXPECT_EQ(this->content(testing::key_of(next)), "nothing");
    if (cycle % 2 == 1)
      this->reopen();
    if (cycle > 1) // Worst for a tree: every deletion in a page of its own.
      std::shuffle(held.begin(), held.end(), random);
    const std::size_t batch_size = cycle == 0 ? 7 : cycle == 3 ? 64 : 1;
    for (std::size_t from = 0; from < held.size(); from += batch_size) {
      batch changes;
      for (auto i = from; i < std::min(from + batch_size, held.size()); ++i) {
        changes.push_back(testing::put_meta("s" + testing::key_of(held[i]), "settled"));
        changes.push_back(testing::del(tree::content, testing::key_of(held[i])));
      }
      ASSERT_EQ(this->append(changes), append_status::durable) << this->detail << " in cycle " << cycle << ", after " << from;
    }
    batch changes;
    for (const auto number : held) {
      changes.push_back(testing::del(tree::meta, "s" + testing::key_of(number)));
      changes.push_back(testing::del(tree::meta, testing::key_of(number)));
      if (changes.size() >= 128) {
        ASSERT_EQ(this->append(changes), append_status::durable) << this->detail;
        changes.clear();
      }
    }
    ASSERT_EQ(this->append(changes), append_status::durable) << this->detail;
    EXPECT_TRUE(testing::replayed(*this->store).empty());
    EXPECT_LE(this->store->space().used_bytes, used_empty + 256 * 1024);
    EXPECT_TRUE(this->store->space().admits(1'000));
  }
}

TYPED_TEST_P(store_conformance, payloads_are_fetched_by_other_threads_while_appends_go_on) {
  this->open();
  ASSERT_EQ(this->append({testing::put_content("long", testing::value_of(7, 50'000)), testing::put_content("short", "s")}),
            append_status::durable);
  std::atomic<bool> stop{false};
  std::atomic<int> fetched{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      const auto expected = testing::value_of(7, 50'000);
      while (!stop) {
        const auto value = this->store->fetch("long");
        if (!value || !*value || **value != expected || this->store->space().used_bytes == 0)
          ++wrong;
        ++fetched;
      }
    });
  for (std::uint64_t i = 0; i < 100 || fetched < 100; ++i)
    ASSERT_EQ(this->append({testing::put_content(testing::key_of(i), testing::value_of(i, 2'000)),
                            testing::del(tree::content, testing::key_of(i - 3))}),
              append_status::durable);
  stop = true;
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

TYPED_TEST_P(store_conformance, a_closed_store_answers_with_errors) {
  this->open();
  this->store->close();
  EXPECT_EQ(this->store->append(this->epoch, this->tail, {}).status, append_status::failed);
  EXPECT_EQ(this->store->fetch("k").err().code, errc::store_io);
  EXPECT_EQ(this->store->replay([](auto, auto) {}).err().code, errc::store_io);
  this->store->close(); // Twice is harmless.
  this->open();
  EXPECT_EQ(this->append({testing::put_meta("k", "v")}), append_status::durable);
}

REGISTER_TYPED_TEST_SUITE_P(store_conformance, a_new_store_is_empty_and_has_an_epoch,
                            every_open_raises_the_epoch_and_honours_the_least_asked_for,
                            records_and_tail_survive_close_and_reopen, what_was_appended_is_seen_at_once, the_trees_are_apart,
                            deleting_what_is_not_there_is_no_error, an_empty_batch_is_durable, later_changes_of_a_batch_win,
                            a_shared_value_is_stored_like_an_owned_one, a_stale_epoch_leaves_nothing_behind,
                            a_stale_tail_leaves_nothing_behind, values_of_every_length_come_back_whole,
                            a_value_replaced_by_a_longer_or_shorter_one_leaves_nothing_of_itself,
                            keys_that_begin_alike_do_not_touch_each_other, many_small_records_replay_in_order,
                            any_sequence_of_batches_equals_the_same_changes_on_a_map,
                            a_store_filled_to_full_drains_to_empty_and_fills_again,
                            payloads_are_fetched_by_other_threads_while_appends_go_on, a_closed_store_answers_with_errors);

} // namespace sallyport::cloud
