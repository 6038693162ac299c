// A process that owns a store, for tests that need a real one: to be refused, fenced or killed.
//   cloud_store_writer hold DIR          opens, says "open <epoch>", and closes when its input ends
//   cloud_store_writer write DIR         appends kill_model batches for ever and says each tail that was acknowledged
#include "cloud/store/journaled.hpp"
#include "tests/cloud/store/kill_model.hpp"

#include <cstdio>
#include <cstring>

#include <unistd.h>

int main(int argc, char** argv) {
  using namespace sallyport;
  if (argc < 3)
    return 2;
  // Small enough that appends of the model fall on either side, and that its end comes often.
  cloud::journaled_store store{{.directory = argv[2], .map_bytes = std::uint64_t{64} << 20},
                               {.bytes = 512 << 10, .batch_bytes = 48 << 10}};
  const auto opened = store.open({});
  if (!opened) {
    std::printf("%s\n", to_string(opened.err()).c_str());
    return 3;
  }
  std::printf("open %llu\n", static_cast<unsigned long long>(opened->epoch.value));
  std::fflush(stdout);
  if (std::strcmp(argv[1], "hold") == 0) {
    char byte;
    while (::read(STDIN_FILENO, &byte, 1) > 0) {
    }
    return 0;
  }
  for (auto tail = opened->tail;;) {
    const auto outcome = store.append(opened->epoch, tail, testing::kill_model::changes_of(tail + 1));
    if (outcome.status != cloud::append_status::durable)
      return 4;
    tail = outcome.tail;
    if (::write(STDOUT_FILENO, &tail, sizeof tail) != sizeof tail)
      return 5;
  }
}
