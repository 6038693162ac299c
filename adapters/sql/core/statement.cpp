#include "adapters/sql/core/statement.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace sallyport::adapters::sql {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_letter(c) || is_digit(c);
}
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

std::string upper(std::string_view word) {
  std::string out{word};
  for (auto& c : out)
    if (c >= 'a' && c <= 'z')
      c = static_cast<char>(c - 'a' + 'A');
  return out;
}

/// An allow list, because the list of verbs that commit behind our back differs per database and grows.
constexpr std::array<std::string_view, 9> verbs{"SELECT", "INSERT", "UPDATE",  "DELETE", "WITH",
                                                "VALUES", "MERGE",  "REPLACE", "CALL"};

class scanner {
public:
  scanner(std::string_view text, backend_kind backend) : text_(text), postgres_(backend == backend_kind::postgresql) {}

  result<void> run() {
    while (at_ < text_.size()) {
      const auto c = text_[at_];
      if (auto end = end_of_opaque(); end > at_) {
        const auto comment = c == '-' || c == '/';
        several_ = several_ || (ended_ && !comment);
        if (!comment && verb_.empty())
          return {errc::invalid_config, "begins with a quote"};
        copy_to(end);
      } else if (is_space(c)) {
        copy_to(at_ + 1);
      } else if (c == ';') {
        ended_ = true;
        ++at_; // A trailing semicolon means nothing to a prepared statement.
      } else {
        several_ = several_ || ended_;
        if (auto done = code(c); !done)
          return done;
      }
      if (several_)
        return {errc::invalid_config, "holds more than one statement"};
    }
    if (verb_.empty())
      return {errc::invalid_config, "is empty"};
    return {};
  }

  std::string verb_;
  std::string out_;
  std::vector<std::string> names_;

private:
  result<void> code(char c) {
    if (is_letter(c)) {
      auto end = at_;
      while (end < text_.size() && (is_word(text_[end]) || text_[end] == '$'))
        ++end;
      if (verb_.empty())
        verb_ = upper(text_.substr(at_, end - at_));
      copy_to(end);
      return {};
    }
    if (is_digit(c)) { // Also keeps the letters of 1e5 from being words.
      auto end = at_;
      while (end < text_.size() && is_word(text_[end]))
        ++end;
      copy_to(end);
      return {};
    }
    if (verb_.empty() && c != '(')
      return {errc::invalid_config, std::string{"begins with '"} + c + "'"};
    const auto next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == ':' && (next == ':' || next == '=')) { // A cast, a named argument.
      copy_to(at_ + 2);
      return {};
    }
    if (c == ':' && is_letter(next)) {
      parameter();
      return {};
    }
    if ((c == '$' && (is_word(next) || !postgres_)) || (!postgres_ && (c == '?' || c == '@')))
      return {errc::invalid_config, std::string{"has a parameter that begins with '"} + c + "'; write :name"};
    copy_to(at_ + 1);
    return {};
  }

  void parameter() {
    auto end = at_ + 1;
    while (end < text_.size() && is_word(text_[end]))
      ++end;
    std::string name{text_.substr(at_ + 1, end - at_ - 1)};
    auto known = std::find(names_.begin(), names_.end(), name);
    const auto position = known - names_.begin() + 1;
    if (known == names_.end())
      names_.push_back(std::move(name));
    out_ += (postgres_ ? '$' : '?') + std::to_string(position);
    at_ = end;
  }

  /// Past the comment, string or quoted name that begins here; `at_` when none does.
  std::size_t end_of_opaque() const {
    const auto rest = text_.substr(at_);
    if (rest.substr(0, 2) == "--")
      return std::min(text_.find('\n', at_), text_.size());
    if (rest.substr(0, 2) == "/*")
      return end_of_comment();
    switch (rest[0]) {
      case '\'':
        return end_of_quote('\'', postgres_ && at_ > 0 && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E')
                                    && (at_ == 1 || !is_word(text_[at_ - 2])));
      case '"': return end_of_quote('"', false);
      case '`': return postgres_ ? at_ : end_of_quote('`', false);
      case '[': return postgres_ ? at_ : past(text_.find(']', at_), 1);
      case '$': return postgres_ ? end_of_dollar_quote() : at_;
      default: return at_;
    }
  }
  std::size_t past(std::size_t found, std::size_t more) const {
    return found == std::string_view::npos ? text_.size() : found + more;
  }

  std::size_t end_of_comment() const {
    std::size_t depth = 1, at = at_ + 2;
    while (at < text_.size() && depth > 0) {
      const auto two = text_.substr(at, 2);
      if (two == "*/")
        --depth, at += 2;
      else if (two == "/*" && postgres_) // SQLite's comments do not nest.
        ++depth, at += 2;
      else
        ++at;
    }
    return at;
  }

  std::size_t end_of_quote(char quote, bool backslash) const {
    for (auto at = at_ + 1; at < text_.size(); ++at) {
      if (backslash && text_[at] == '\\')
        ++at;
      else if (text_[at] == quote && at + 1 < text_.size() && text_[at + 1] == quote)
        ++at;
      else if (text_[at] == quote)
        return at + 1;
    }
    return text_.size();
  }

  std::size_t end_of_dollar_quote() const {
    auto end = at_ + 1;
    while (end < text_.size() && is_word(text_[end]) && !(end == at_ + 1 && is_digit(text_[end])))
      ++end;
    if (end == text_.size() || text_[end] != '$')
      return at_;
    const auto tag = text_.substr(at_, end - at_ + 1);
    return past(text_.find(tag, end + 1), tag.size());
  }

  void copy_to(std::size_t end) {
    out_ += text_.substr(at_, end - at_);
    at_ = end;
  }

  std::string_view text_;
  bool postgres_;
  std::size_t at_ = 0;
  bool ended_ = false, several_ = false;
};

bool is_path(std::string_view path) {
  if (path.empty() || path.front() == '.' || path.back() == '.' || path.find("..") != std::string_view::npos)
    return false;
  if (path.front() == '$')
    return path == "$message" || path == "$fence" || path == "$attempt" || path == "$queue";
  return true;
}

/// Reads a statement of one simple shape from left to right. Each step passes over space, takes what it is named after, and says whether it
/// was there.
class reader {
public:
  explicit reader(std::string_view text) : text_(text) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  bool word(std::string_view upper_case) { return upper(run(is_word)) == upper_case; }
  bool symbol(char c) {
    space();
    return at_ < text_.size() && text_[at_] == c && ++at_ != 0;
  }
  std::string_view table() {
    return run([](char c) { return is_word(c) || c == '.'; });
  }
  bool column() {
    if (!symbol('"'))
      return !run(is_word).empty();
    const auto end = text_.find('"', at_);
    at_ = end == text_.npos ? text_.size() : end + 1;
    return end != text_.npos;
  }
  /// "$1", "$1::jsonb"
  bool parameter() {
    if (!symbol('$') || run(is_digit).empty())
      return false;
    if (text_.substr(at_, 2) != "::")
      return true;
    at_ += 2;
    return !run(is_word).empty();
  }
  bool end() {
    space();
    return at_ == text_.size();
  }

private:
  void space() {
    while (at_ < text_.size() && is_space(text_[at_]))
      ++at_;
  }
  template <class Is>
  std::string_view run(Is is) {
    space();
    const auto from = at_;
    while (at_ < text_.size() && is(text_[at_]))
      ++at_;
    return text_.substr(from, at_ - from);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Only what cannot mean another thing for many rows than for one: no expressions, no conflicts to handle, nothing returned.
std::optional<bulk_insert> as_bulk(const std::string& text) {
  reader r{text};
  const auto list = [&r](bool (reader::*item)()) {
    if (!r.symbol('('))
      return false;
    do {
      if (!(r.*item)())
        return false;
    } while (r.symbol(','));
    return r.symbol(')');
  };
  bulk_insert insert;
  if (!r.word("INSERT") || !r.word("INTO") || (insert.table = r.table()).empty() || !list(&reader::column))
    return std::nullopt;
  insert.head = text.substr(0, r.at());
  if (!r.word("VALUES"))
    return std::nullopt;
  const auto from = text.find('(', r.at()) + 1;
  if (!list(&reader::parameter))
    return std::nullopt;
  insert.row = text.substr(from, r.at() - 1 - from);
  return r.end() ? std::optional{std::move(insert)} : std::nullopt;
}

} // namespace

std::string bulk_text(const bulk_insert& insert, const std::vector<std::string_view>& types) {
  std::string row, arrays, names;
  for (std::string_view rest = insert.row; !rest.empty();) {
    const auto at = std::min(rest.find('$'), rest.size());
    row += rest.substr(0, at);
    rest.remove_prefix(at);
    if (rest.empty())
      break;
    std::size_t position = 0;
    const auto end = std::from_chars(rest.data() + 1, rest.data() + rest.size(), position).ptr;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    row += "k.p" + std::to_string(position);
    if (const auto type = types.at(position - 1); type != "text")
      row.append("::").append(type);
  }
  for (std::size_t i = 0; i < types.size(); ++i) {
    const auto n = std::to_string(i + 1);
    arrays += (i == 0 ? "$" : ", $") + n + "::text[]";
    names += (i == 0 ? "p" : ", p") + n;
  }
  return insert.head + " SELECT " + row + " FROM unnest(" + arrays + ") AS k(" + names + ")";
}

result<compiled_statement> compile(const std::string& name, const statement& s, backend_kind backend) {
  const auto refuse = [&name](const std::string& why) {
    return make_error(errc::invalid_config, "statement '" + name + "' " + why);
  };
  scanner scan{s.text, backend};
  if (auto done = scan.run(); !done)
    return refuse(done.err().detail);
  if (std::find(verbs.begin(), verbs.end(), scan.verb_) == verbs.end())
    return refuse(
      "begins with " + scan.verb_
      + ", but transaction control, DDL and session commands would break the transaction that holds the inbox row; it must begin "
        "with SELECT, INSERT, UPDATE, DELETE, WITH, VALUES, MERGE, REPLACE or CALL");
  compiled_statement compiled{name, std::move(scan.out_), {}, s.result, s.read_only};
  for (const auto& parameter : scan.names_) {
    const auto mapped = s.parameters.find(parameter);
    if (mapped == s.parameters.end())
      return refuse("uses :" + parameter + ", for which parameters has no path");
    if (!is_path(mapped->second))
      return refuse("takes :" + parameter + " from '" + mapped->second
                    + "', which is no path; say data.name, id, $message, $fence, ...");
    compiled.paths.push_back(mapped->second);
  }
  for (const auto& [parameter, path] : s.parameters)
    if (std::find(scan.names_.begin(), scan.names_.end(), parameter) == scan.names_.end())
      return refuse("does not use :" + parameter + ", for which parameters has a path");
  if (backend == backend_kind::postgresql && s.result == result_kind::none && !s.read_only)
    compiled.bulk = as_bulk(compiled.text);
  return compiled;
}

} // namespace sallyport::adapters::sql
