// The driver behind scripts/quickstart.
#include "examples/quickstart/play.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>

namespace {

constexpr const char* usage = R"(usage: sallyport_quickstart [--keep] [--no-inbox] [--sallyport FILE] [--iso-codes FOLDER]

  --keep       leave the hub and the agents up afterwards, and say what to try with them
  --no-inbox   for tests: without the inbox, agents double what they repeat, and the quickstart must say so and fail
  --sallyport  the binary to use; by default the one beside this program
  --iso-codes  where iso_639-3.json and iso_3166-2.json are; by default /usr/share/iso-codes/json
)";

void print_last_lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::deque<std::string> last;
  for (std::string line; std::getline(in, line);) {
    last.push_back(std::move(line));
    if (last.size() > 15)
      last.pop_front();
  }
  fmt::print(stderr, "---- the end of {}\n", file.filename().string());
  for (const auto& line : last)
    fmt::print(stderr, "{}\n", line);
}

} // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  quickstart::options options;
  options.binary = fs::read_symlink("/proc/self/exe").parent_path() / "sallyport";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--keep")
      options.keep = true;
    else if (word == "--no-inbox")
      options.inbox = false;
    else if (word == "--sallyport" && i + 1 < argc)
      options.binary = argv[++i];
    else if (word == "--iso-codes" && i + 1 < argc)
      options.iso_codes = argv[++i];
    else
      return fmt::print(word == "--help" ? stdout : stderr, "{}", usage), word == "--help" ? 0 : 2;
  }

  std::string folder = fs::temp_directory_path() / "sallyport-quickstart.XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "quickstart: cannot make a folder in {}: {}\n", fs::temp_directory_path().string(), std::strerror(errno));
    return 2;
  }
  options.folder = folder;
  const bool keep = options.keep;
  int code = 2;
  try {
    code = quickstart::play(std::move(options)).perform();
  } catch (const std::exception& e) { // The play's processes have ended with it.
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == ".log")
        print_last_lines(entry.path());
    fmt::print(stderr, "quickstart: {}\n", e.what());
  }
  if (!keep || code == 2)
    fs::remove_all(folder);
  return code;
}
