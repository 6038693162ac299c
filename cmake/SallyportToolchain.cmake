# What every target is compiled and linked with. Nothing here is exported to embedders.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

# mold links the binary and its tests in a fraction of the time ld takes.
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_library(sallyport_build_flags INTERFACE)
target_compile_options(sallyport_build_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Woverloaded-virtual -fno-omit-frame-pointer
  -Wno-missing-field-initializers # Our structs say their defaults beside each member.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>) # GCC 12 sees moved-from variants as such when it optimises.
if(CMAKE_UNITY_BUILD)
  # There every file is an included one, of which GCC assumes that others include it too.
  target_compile_options(sallyport_build_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(SALLYPORT_WERROR)
  target_compile_options(sallyport_build_flags INTERFACE -Werror)
endif()
if(SALLYPORT_SANITIZE)
  target_compile_options(sallyport_build_flags INTERFACE -fsanitize=${SALLYPORT_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(sallyport_build_flags INTERFACE -fsanitize=${SALLYPORT_SANITIZE})
endif()

# The allocator of the programs that serve. Libraries leave that to whoever embeds them, and sanitizers bring their own.
add_library(sallyport_allocator INTERFACE)
if(NOT SALLYPORT_SANITIZE)
  find_package(Jemalloc 5.0)
  if(Jemalloc_FOUND)
    target_link_libraries(sallyport_allocator INTERFACE Jemalloc::jemalloc)
  endif()
endif()
