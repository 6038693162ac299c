# sallyport_library(NAME SOURCES ... [PUBLIC deps...] [PRIVATE deps...])
#
# One static library per second-level folder, named sallyport_NAME with the alias sallyport::NAME. PUBLIC dependencies are those its
# headers need; a test reads the resulting link graph and refuses an edge that points the wrong way (tests/architecture).
function(sallyport_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(target sallyport_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(sallyport::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/sallyport>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:sallyport_build_flags>)
  set_property(GLOBAL APPEND PROPERTY SALLYPORT_LIBRARIES ${target})
endfunction()

# sallyport_test(NAME SOURCES ... [LINK deps...] [LABELS labels...] [TIMEOUT seconds])
#
# One GoogleTest binary; every TEST is its own ctest entry unless SERIAL names the binary as one.
function(sallyport_test name)
  cmake_parse_arguments(ARG "SERIAL;WHOLE" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main sallyport_build_flags)
  if(ARG_WHOLE)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
    if(ARG_SERIAL)
      set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
  else()
    set(serial "")
    if(ARG_SERIAL)
      set(serial RUN_SERIAL ON)
    endif()
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ${serial})
  endif()
endfunction()
