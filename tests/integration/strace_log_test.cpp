// The judge of the durability test, on traces written by hand: it must see a reversed order, and must not see one where there is none.
#include "tests/support/strace_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::testing {

namespace {

using ::testing::HasSubstr;

const durable_question about_m1{R"("m1")", {"HTTP/1.1 201", "m1"}, "/d/hub/store.mdb", "m1", "/d/hub/store.journal"};

// The parts of a good commit, to be put together in any order.
const std::string opened = R"(7 openat(AT_FDCWD</d>, "hub/store.mdb", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 9</d/hub/store.mdb>
7 openat(AT_FDCWD</d>, "hub/store.mdb", O_WRONLY|O_DSYNC|O_CLOEXEC) = 11</d/hub/store.mdb>
)";
const std::string came =
  R"(8 recvfrom(12<socket:[51]>, "POST /v1 HTTP/1.1\r\n\r\n{\"id\":\"m1\"}", 4096, 0, NULL, NULL) = 33
)";
const std::string written =
  R"(9 pwritev(9</d/hub/store.mdb>, [{iov_base="\7\0\0m1\0", iov_len=4096}, {iov_base="\0", iov_len=4096}], 2, 8192) = 8192
)";
const std::string synced = "9 fdatasync(9</d/hub/store.mdb>)    = 0\n";
const std::string counted = R"(9 pwrite64(11</d/hub/store.mdb>, "\0\1", 120, 32) = 120
)";
const std::string answered =
  R"(8 sendmsg(12<socket:[51]>, {msg_name=NULL, msg_iov=[{iov_base="HTTP/1.1 201 Created\r\n", iov_len=22}, {iov_base="{\"id\":\"m1\"}", iov_len=11}], msg_iovlen=2}, MSG_NOSIGNAL) = 33
)";

std::string judged(const std::string& trace) {
  return why_not_durable(strace_log{trace}, about_m1);
}

} // namespace

TEST(strace_log, an_answer_after_write_sync_and_header_is_durable) {
  EXPECT_EQ(judged(opened + came + written + synced + counted + answered), "");
  EXPECT_EQ(commits_between(strace_log{opened + counted + came + written + synced + counted + answered + counted}, {about_m1}),
            1u);
}

TEST(strace_log, an_answer_after_a_record_in_the_journal_and_its_sync_is_durable) {
  const std::string record = R"(9 pwrite64(13</d/hub/store.journal>, "SPJ1\0\0m1\0", 4096, 8192) = 4096
)";
  const std::string sync = "9 fdatasync(13</d/hub/store.journal>) = 0\n";
  EXPECT_EQ(judged(opened + came + record + sync + answered), "");
  EXPECT_EQ(commits_between(strace_log{opened + sync + came + record + sync + answered + sync}, {about_m1}), 1u);
  EXPECT_THAT(judged(opened + came + record + answered + sync), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + came + sync + record + answered), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + came + record + synced + answered), HasSubstr("was not synced")) << "the other file's sync";
  EXPECT_THAT(judged(opened + came + written + sync + counted + answered), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + record + came + sync + answered), HasSubstr("nothing of it was written"));
}

TEST(strace_log, an_answer_before_any_of_them_is_not) {
  EXPECT_THAT(judged(opened + came + answered + written + synced + counted), HasSubstr("nothing of it was written"));
  EXPECT_THAT(judged(opened + came + written + answered + synced + counted), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + came + written + synced + answered + counted), HasSubstr("no O_DSYNC write"));
  EXPECT_THAT(judged(opened + came + answered), HasSubstr("the request came in line 3, its answer left in line 4"));
}

TEST(strace_log, what_happened_before_the_request_came_does_not_count) {
  EXPECT_THAT(judged(opened + written + synced + counted + came + answered), HasSubstr("nothing of it was written"));
  EXPECT_THAT(judged(opened + written + came + synced + counted + answered), HasSubstr("nothing of it was written"));
}

TEST(strace_log, a_sync_before_the_write_or_of_another_file_or_one_that_failed_does_not_count) {
  EXPECT_THAT(judged(opened + came + synced + written + counted + answered), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + came + written + "9 fdatasync(9</d/hub/other.mdb>) = 0\n" + counted + answered),
              HasSubstr("was not synced"));
  EXPECT_THAT(
    judged(opened + came + written + "9 fdatasync(9</d/hub/store.mdb>) = -1 EIO (Input/output error)\n" + counted + answered),
    HasSubstr("was not synced"));
}

TEST(strace_log, a_write_of_something_else_does_not_count) {
  const std::string other = R"(9 pwrite64(9</d/hub/store.mdb>, "another", 4096, 8192) = 4096
)";
  EXPECT_THAT(judged(opened + came + other + synced + counted + answered), HasSubstr("nothing of it was written"));
}

TEST(strace_log, a_header_through_a_descriptor_that_is_not_synced_does_not_count) {
  const std::string plain = R"(9 pwrite64(9</d/hub/store.mdb>, "\0\1", 120, 32) = 120
)";
  EXPECT_THAT(judged(opened + came + written + synced + plain + answered), HasSubstr("no O_DSYNC write"));
  const std::string reused = "7 close(11</d/hub/store.mdb>) = 0\n";
  EXPECT_THAT(judged(opened + reused + came + written + synced + counted + answered), HasSubstr("no O_DSYNC write"));
}

TEST(strace_log, a_sync_that_had_not_returned_does_not_count) {
  const std::string begins = "9 fdatasync(9</d/hub/store.mdb> <unfinished ...>\n";
  const std::string returns = "9 <... fdatasync resumed>) = 0\n";
  EXPECT_EQ(judged(opened + came + written + begins + returns + counted + answered), "");
  EXPECT_THAT(judged(opened + came + written + begins + answered + returns + counted), HasSubstr("was not synced"));
  EXPECT_THAT(judged(opened + came + begins + written + returns + counted + answered), HasSubstr("was not synced"))
    << "it may have begun before the write reached the file";
  EXPECT_THAT(judged(opened + came + written + begins + answered + "9 <... fdatasync resumed>) = ?\n"),
              HasSubstr("was not synced"));
}

TEST(strace_log, calls_of_several_threads_are_told_apart) {
  const std::string reading = "8 recvfrom(12<socket:[51]>,  <unfinished ...>\n";
  const std::string sleeping = "10 read(3<anon_inode:[eventfd]>,  <unfinished ...>\n";
  const std::string read = R"(8 <... recvfrom resumed>"{\"id\":\"m1\"}", 4096, 0, NULL, NULL) = 11
)";
  const std::string woken = R"(10 <... read resumed>"\1\0", 8) = 8
)";
  EXPECT_EQ(judged(opened + reading + sleeping + read + woken + written + synced + counted + answered), "");
  EXPECT_THAT(judged(opened + reading + sleeping + written + synced + read + woken + counted + answered),
              HasSubstr("nothing of it was written"));
}

TEST(strace_log, what_is_no_call_is_passed_over) {
  const std::string noise =
    "7 +++ exited with 0 +++\n7 --- SIGTERM {si_signo=SIGTERM} ---\nstrace: Process 9 attached\n\n8 read(\n";
  EXPECT_EQ(judged(noise + opened + came + noise + written + synced + counted + answered), "");
}

TEST(strace_log, a_request_or_an_answer_that_is_not_there_is_said) {
  EXPECT_THAT(judged(opened + written + synced + counted + answered), HasSubstr("no request with"));
  EXPECT_THAT(judged(opened + came + written + synced + counted), HasSubstr("never answered"));
  EXPECT_THAT(judged(opened + answered + came), HasSubstr("was not waited for"));
}

} // namespace sallyport::testing
