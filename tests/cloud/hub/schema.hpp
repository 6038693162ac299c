// docs/openapi.yaml as something to hold answers to: enough of JSON Schema for what the file uses, and no more. For tests only.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace sallyport::cloud::test {

struct declared_operation {
  std::string id, method, path;
  YAML::Node node;
};

class contract {
public:
  explicit contract(const std::string& file);

  [[nodiscard]] const std::vector<declared_operation>& operations() const { return operations_; }
  /// The operation that a request addresses; null when there is none.
  [[nodiscard]] const declared_operation* find(const std::string& method, const std::string& target) const;
  [[nodiscard]] YAML::Node resolve(const YAML::Node& node) const;

  struct answer {
    int status = 0;
    std::string content_type, body;
    std::map<std::string, std::string> headers; // Names in lower case.
  };
  /// What an answer to the operation has that is not declared, or lacks that is; empty when all is well. Null: an undeclared path.
  [[nodiscard]] std::vector<std::string> faults(const declared_operation* operation, const answer& a) const;

  /// "operation status" of every status that an operation lists itself.
  [[nodiscard]] std::set<std::string> statuses() const;
  /// Every code that a problem or a verdict may carry.
  [[nodiscard]] std::set<std::string> codes() const;
  /// "operation status code" for every code that an operation lists itself.
  [[nodiscard]] std::set<std::string> triples() const;

private:
  void validate(const YAML::Node& schema, const YAML::Node& value, const std::string& where,
                std::vector<std::string>& faults) const;

  YAML::Node root_;
  std::vector<declared_operation> operations_;
};

} // namespace sallyport::cloud::test
