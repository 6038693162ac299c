// A directory of a test's own, gone with all it holds when the test ends.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace sallyport::testing {

class temp_dir {
public:
  explicit temp_dir(const std::filesystem::path& below = std::filesystem::temp_directory_path()) {
    std::string name = (below / "sallyport-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      throw std::runtime_error("no temporary directory " + name);
    path_ = name;
  }
  ~temp_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream out(*this / name, std::ios::binary);
    out << content;
    if (!out.flush())
      throw std::runtime_error("cannot write " + (*this / name));
    return *this / name;
  }

private:
  std::filesystem::path path_;
};

/// A file's whole content; empty when there is none.
inline std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

} // namespace sallyport::testing
