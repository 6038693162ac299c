// An adapter of your own. Its local system is somebody to be greeted: here an actor of the same program, in your code a device or a library
// that no ready-made adapter speaks to.
#pragma once

#include <sallyport/adapters/api/adapter.hpp>

#include <functional>
#include <string>

namespace embed {

/// Says hello to a name; called on the adapter's own thread. May throw: the agent takes the message back and starts the adapter anew.
using greet_function = std::function<void(const std::string& name)>;

/// What the agent needs to make greeters. Messages are events with data {"to": NAME}; the result is {"greeted": NAME}.
[[nodiscard]] sallyport::adapters::factory make_greeter_factory(greet_function greet);

} // namespace embed
