// A directory of a benchmark's own, in $TMPDIR or /tmp, gone with its owner.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace sallyport::bench {

class scratch_directory {
public:
  scratch_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "sallyport-bench-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      throw std::runtime_error("cannot make a directory in " + std::filesystem::temp_directory_path().string());
    path_ = name;
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace sallyport::bench
