# What `cmake --install` puts where, and the package that find_package(sallyport) finds:
#   bin/sallyport                      the binary
#   include/sallyport/<folder>/*.hpp   headers, to be included as <sallyport/runtime/agent.hpp>
#   lib/libsallyport_*.a               one library per folder; embedders link sallyport::runtime, their tests sallyport::testing
#   lib/cmake/sallyport/               the package, with the find modules of libraries that ship none
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY SALLYPORT_LIBRARIES)
install(TARGETS ${libraries} EXPORT sallyport_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET sallyport)
  install(TARGETS sallyport RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(DIRECTORY protocol config cloud adapters runtime actors
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sallyport
  FILES_MATCHING PATTERN "*.hpp")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sallyport)
install(EXPORT sallyport_targets NAMESPACE sallyport:: DESTINATION ${package_dir})
configure_package_config_file(cmake/sallyport-config.cmake.in ${PROJECT_BINARY_DIR}/sallyport-config.cmake
  INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may break what embedders compile against.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sallyport-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/sallyport-config.cmake
  ${PROJECT_BINARY_DIR}/sallyport-config-version.cmake
  cmake/FindCAF.cmake cmake/FindLMDB.cmake cmake/FindSOCI.cmake
  DESTINATION ${package_dir})

install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
