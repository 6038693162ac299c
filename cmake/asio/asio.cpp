// The one place where the function bodies of Asio and Beast are compiled; see CMakeLists.txt beside it.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
