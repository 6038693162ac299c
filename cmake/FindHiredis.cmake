# Finds hiredis (Debian: libhiredis-dev), whose package has a CMake configuration in some releases only. For the benchmark.
# Defines Hiredis::hiredis, Hiredis_FOUND and Hiredis_VERSION.
include(FindPackageHandleStandardArgs)
find_path(Hiredis_INCLUDE_DIR hiredis/hiredis.h)
find_library(Hiredis_LIBRARY hiredis)
mark_as_advanced(Hiredis_INCLUDE_DIR Hiredis_LIBRARY)
if(Hiredis_INCLUDE_DIR)
  foreach(part MAJOR MINOR PATCH)
    file(STRINGS ${Hiredis_INCLUDE_DIR}/hiredis/hiredis.h _line REGEX "^#define HIREDIS_${part} ")
    string(REGEX REPLACE ".*[ \t]([0-9]+).*" "\\1" _hiredis_${part} "${_line}")
  endforeach()
  set(Hiredis_VERSION ${_hiredis_MAJOR}.${_hiredis_MINOR}.${_hiredis_PATCH})
endif()
find_package_handle_standard_args(Hiredis REQUIRED_VARS Hiredis_LIBRARY Hiredis_INCLUDE_DIR VERSION_VAR Hiredis_VERSION)
if(Hiredis_FOUND AND NOT TARGET Hiredis::hiredis)
  add_library(Hiredis::hiredis UNKNOWN IMPORTED)
  set_target_properties(Hiredis::hiredis PROPERTIES
    IMPORTED_LOCATION ${Hiredis_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${Hiredis_INCLUDE_DIR})
endif()
