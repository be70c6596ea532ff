# SPDX-License-Identifier: Apache-2.0
# Installs the libraries, their headers and the programs, and what find_package(KokkosM2) reads. Targets are KokkosM2::<folder>.
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY M2_LIBRARIES)
get_property(programs GLOBAL PROPERTY M2_PROGRAMS)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/KokkosM2)

set_target_properties(m2_options PROPERTIES EXPORT_NAME options)
install(TARGETS m2_options ${libraries} EXPORT KokkosM2Targets)
install(TARGETS ${programs})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kokkosm2 FILES_MATCHING PATTERN "*.hpp")
install(EXPORT KokkosM2Targets NAMESPACE KokkosM2:: DESTINATION ${package_dir})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/KokkosM2Config.cmake.in ${PROJECT_BINARY_DIR}/KokkosM2Config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/KokkosM2ConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/KokkosM2Config.cmake ${PROJECT_BINARY_DIR}/KokkosM2ConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/KokkosM2Dependencies.cmake ${PROJECT_SOURCE_DIR}/cmake/FindNCCL.cmake ${PROJECT_SOURCE_DIR}/cmake/FindPCRE2.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindXxHash.cmake DESTINATION ${package_dir})
