# Libraries, by pkg-config where they ship a file for it. Names: PM_DEPENDENCIES for linking,
# PM_CLUSTER_DEPENDENCIES for what the cluster links besides.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
pkg_check_modules(YAJL REQUIRED IMPORTED_TARGET yajl)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.31)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)

# msgpack-c renamed its pkg-config file: msgpack (4), msgpack-c (6), msgpackc (some 5)
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c msgpack msgpackc)

# what only the cluster needs: Kafka, Redis, compression of payloads, the configuration file
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka)
pkg_check_modules(HIREDIS REQUIRED IMPORTED_TARGET hiredis)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)

function(pm_find_library name header library)
  find_path(${name}_INCLUDE ${header} PATH_SUFFIXES nauty suitesparse scotch)
  find_library(${name}_LIBRARY ${library})
  if(NOT ${name}_INCLUDE OR NOT ${name}_LIBRARY)
    message(FATAL_ERROR "${header} or lib${library} not found: on Debian, see packages.txt")
  endif()
  add_library(pm_${name} INTERFACE IMPORTED GLOBAL)
  target_include_directories(pm_${name} SYSTEM INTERFACE ${${name}_INCLUDE})
  target_link_libraries(pm_${name} INTERFACE ${${name}_LIBRARY})
endfunction()
pm_find_library(NAUTY nausparse.h nauty)
pm_find_library(AMD amd.h amd)
pm_find_library(SCOTCH scotch.h scotch)
pm_find_library(SCOTCHERR scotch.h scotcherr) # what SCOTCH calls with its errors

include(CheckSymbolExists)
set(CMAKE_REQUIRED_INCLUDES ${SCOTCH_INCLUDE})
check_symbol_exists(SCOTCH_OPTIONNUMRANDOMFIXEDSEED "stdio.h;scotch.h" PM_SCOTCH_HAS_CONTEXTS)
unset(CMAKE_REQUIRED_INCLUDES)
if(NOT PM_SCOTCH_HAS_CONTEXTS)
  message(FATAL_ERROR "SCOTCH 7.0 or later is needed: earlier ones share their random numbers between threads")
endif()

set(PM_DEPENDENCIES PkgConfig::YAJL PkgConfig::SQLITE PkgConfig::CRYPTO PkgConfig::MSGPACK pm_NAUTY pm_AMD pm_SCOTCH pm_SCOTCHERR
                    OpenMP::OpenMP_C m)
set(PM_CLUSTER_DEPENDENCIES PkgConfig::RDKAFKA PkgConfig::HIREDIS PkgConfig::ZSTD PkgConfig::INIH)

# TLS to Redis, which hiredis has since 1.0; without it redis.tls is refused with a clear error
pkg_check_modules(HIREDIS_SSL QUIET IMPORTED_TARGET hiredis_ssl>=1.0)
if(HIREDIS_SSL_FOUND)
  pkg_check_modules(SSL REQUIRED IMPORTED_TARGET libssl)
  list(APPEND PM_CLUSTER_DEPENDENCIES PkgConfig::HIREDIS_SSL PkgConfig::SSL)
endif()
