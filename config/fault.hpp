// What is wrong with a file, said so that a person can put it right: where, what, and what to do. Values; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::config {

struct fault {
  std::string file;
  unsigned line = 0;    // 0: of the whole file.
  std::string key;      // "hub.session_ttl_ms"; may be empty.
  std::string what;     // Never holds the value of a secret.
  std::string advice;   // May be empty.
  bool warning = false; // The file can be used all the same.
};

/// "FILE:LINE: key: what; what to do", with "warning: " before what when it is one.
[[nodiscard]] std::string to_string(const fault& f);

/// Gathers every fault of one file, so that it is put right in one go and not fault by fault.
class fault_list {
public:
  explicit fault_list(std::string file = {}) : file_(std::move(file)) {}

  void add(unsigned line, std::string key, std::string what, std::string advice = {});
  void warn(unsigned line, std::string key, std::string what, std::string advice = {});

  [[nodiscard]] bool has_errors() const { return errors_ > 0; }
  [[nodiscard]] std::size_t errors() const { return errors_; }
  [[nodiscard]] const std::string& file() const { return file_; }
  /// In the order of the file.
  [[nodiscard]] std::vector<fault> sorted() const;
  /// One per line, in the order of the file.
  [[nodiscard]] std::string text() const;

private:
  std::string file_;
  std::vector<fault> faults_;
  std::size_t errors_ = 0;
};

/// The word of the list that is nearest to the one written (Damerau-Levenshtein, at most a third of it wrong); empty when none is
/// near.
[[nodiscard]] std::string nearest(std::string_view written, const std::vector<std::string>& known);

} // namespace sallyport::config
