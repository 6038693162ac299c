#include "bench/harness/board.hpp"
#include "tests/support/temp_dir.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace {

using sallyport::bench::board;
using sallyport::testing::temp_dir;

TEST(board, a_mark_is_set_once) {
  const temp_dir folder;
  const board b(folder / "board", 200);
  EXPECT_TRUE(b.mark(0));
  EXPECT_TRUE(b.mark(63));
  EXPECT_TRUE(b.mark(64)); // The first of another word.
  EXPECT_TRUE(b.mark(199));
  EXPECT_FALSE(b.mark(63));
  EXPECT_EQ(b.marked(), 4u);
}

TEST(board, a_number_of_an_earlier_run_is_a_repeat) {
  const temp_dir folder;
  const board b(folder / "board", 10, 1'000);
  EXPECT_FALSE(b.mark(999));
  EXPECT_TRUE(b.mark(1'000));
  EXPECT_TRUE(b.mark(1'009));
  EXPECT_EQ(b.marked(), 2u);
}

TEST(board, a_number_that_nobody_sent_is_an_error) {
  const temp_dir folder;
  const board b(folder / "board", 10, 1'000);
  EXPECT_THROW((void)b.mark(1'010), std::runtime_error);
}

TEST(board, another_mapping_sees_what_is_written_and_the_first_of_both_to_mark_wins) {
  const temp_dir folder;
  const board made(folder / "board", 100, 5);
  const board opened(folder / "board");
  made.page().go.store(1);
  opened.seat(3).taken.store(17);
  opened.seat(3).latency.add(250);
  EXPECT_EQ(opened.page().go.load(), 1u);
  EXPECT_EQ(opened.page().messages, 100u);
  EXPECT_EQ(opened.page().first, 5u);
  EXPECT_EQ(made.seat(3).taken.load(), 17u);
  EXPECT_EQ(made.seat(3).latency.count(), 1u);
  EXPECT_TRUE(opened.mark(50));
  EXPECT_FALSE(made.mark(50));
  EXPECT_EQ(made.marked(), 1u);
}

TEST(board, is_not_made_over_one_that_is_there) {
  const temp_dir folder;
  const board b(folder / "board", 10);
  EXPECT_THROW(board(folder / "board", 10), std::runtime_error);
  EXPECT_THROW(board(folder / "none"), std::runtime_error);
}

TEST(board, has_no_seat_beyond_its_last) {
  const temp_dir folder;
  const board b(folder / "board", 10);
  EXPECT_NO_THROW((void)b.seat(sallyport::bench::board_page::seats_max - 1));
  EXPECT_THROW((void)b.seat(sallyport::bench::board_page::seats_max), std::out_of_range);
}

} // namespace
