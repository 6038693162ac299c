// A value or an error. Errors are values; exceptions stay inside the libraries that throw them.
#pragma once

#include "protocol/assert.hpp"
#include "protocol/errors.hpp"

#include <utility>
#include <variant>

namespace sallyport {

template <class T>
class [[nodiscard]] result {
public:
  result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  result(error e) : content_(std::in_place_index<1>, std::move(e)) {}
  result(errc code, std::string detail) : content_(std::in_place_index<1>, make_error(code, std::move(detail))) {}

  [[nodiscard]] bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& operator*() & {
    SALLYPORT_ASSERT(ok());
    return *std::get_if<0>(&content_);
  }
  const T& operator*() const& {
    SALLYPORT_ASSERT(ok());
    return *std::get_if<0>(&content_);
  }
  T&& operator*() && {
    SALLYPORT_ASSERT(ok());
    return std::move(*std::get_if<0>(&content_));
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

  [[nodiscard]] const error& err() const& {
    SALLYPORT_ASSERT(!ok());
    return *std::get_if<1>(&content_);
  }
  [[nodiscard]] error&& err() && {
    SALLYPORT_ASSERT(!ok());
    return std::move(*std::get_if<1>(&content_));
  }

private:
  std::variant<T, error> content_;
};

/// Success without a value, or an error.
template <>
class [[nodiscard]] result<void> {
public:
  result() = default;
  result(error e) : error_(std::move(e)) {}
  result(errc code, std::string detail) : error_(make_error(code, std::move(detail))) {}

  [[nodiscard]] bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const error& err() const {
    SALLYPORT_ASSERT(error_.has_value());
    return *error_;
  }

private:
  std::optional<error> error_;
};

} // namespace sallyport
