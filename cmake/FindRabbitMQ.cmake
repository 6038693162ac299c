# Finds the C client of RabbitMQ (Debian: librabbitmq-dev). Defines RabbitMQ::client, RabbitMQ_FOUND and RabbitMQ_VERSION. Only the
# benchmark uses it.
include(FindPackageHandleStandardArgs)
find_path(RabbitMQ_INCLUDE_DIR amqp_tcp_socket.h)
find_library(RabbitMQ_LIBRARY rabbitmq)
mark_as_advanced(RabbitMQ_INCLUDE_DIR RabbitMQ_LIBRARY)
if(RabbitMQ_INCLUDE_DIR)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${RabbitMQ_INCLUDE_DIR}/amqp.h _line REGEX "^#define AMQP_VERSION_${part} ")
    string(REGEX REPLACE ".* ([0-9]+).*" "\\1" _rabbitmq_${part} "${_line}")
  endforeach()
  set(RabbitMQ_VERSION ${_rabbitmq_MAJOR}.${_rabbitmq_MINOR}.${_rabbitmq_PATCH})
endif()
find_package_handle_standard_args(RabbitMQ REQUIRED_VARS RabbitMQ_LIBRARY RabbitMQ_INCLUDE_DIR VERSION_VAR RabbitMQ_VERSION)
if(RabbitMQ_FOUND AND NOT TARGET RabbitMQ::client)
  add_library(RabbitMQ::client UNKNOWN IMPORTED)
  set_target_properties(RabbitMQ::client PROPERTIES
    IMPORTED_LOCATION ${RabbitMQ_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${RabbitMQ_INCLUDE_DIR})
endif()
