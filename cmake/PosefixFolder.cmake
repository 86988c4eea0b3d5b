# posefix_folder(NAME [DEPS folder...] [LIBS target...] [TEST_LIBS target...] [EXCLUDE path...] [WHOLE_ARCHIVE])
#
# Declares src/NAME: every .cc below it becomes the static library posefix_NAME, every *_test.cc joins the
# program NAME_test, and every *_golden_test.cc joins NAME_golden_test, whose tests carry the label `golden`.
# Sources are globbed, so a new file (a backbone, a verb, a pass) needs no edit here.
# EXCLUDE: subfolders or files of src/NAME that this configuration leaves out (an absent backend, another library).
# WHOLE_ARCHIVE: the folder registers things from static initialisers (backbones, verbs); whoever links it gets
# every object file.
function(posefix_folder NAME)
  cmake_parse_arguments(ARG "WHOLE_ARCHIVE" "" "DEPS;LIBS;TEST_DEPS;TEST_LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${pattern}")
  endforeach()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/testing/")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(golden_tests ${tests})
  list(FILTER golden_tests INCLUDE REGEX "_golden_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_golden_test\\.cc$")

  set(deps "")
  foreach(dep IN LISTS ARG_DEPS)
    list(APPEND deps posefix::${dep})
  endforeach()
  set(test_deps "")
  foreach(dep IN LISTS ARG_TEST_DEPS)
    list(APPEND test_deps posefix::${dep})
  endforeach()

  add_library(posefix_${NAME} STATIC ${sources})
  target_include_directories(posefix_${NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(posefix_${NAME} PUBLIC ${deps} ${ARG_LIBS})
  posefix_compile_options(posefix_${NAME})
  if(ARG_WHOLE_ARCHIVE)
    add_library(posefix_${NAME}_whole INTERFACE)
    target_link_libraries(posefix_${NAME}_whole INTERFACE "$<LINK_LIBRARY:WHOLE_ARCHIVE,posefix_${NAME}>")
    add_library(posefix::${NAME} ALIAS posefix_${NAME}_whole)
  else()
    add_library(posefix::${NAME} ALIAS posefix_${NAME})
  endif()

  if(POSEFIX_TESTS AND tests)
    posefix_test(${NAME}_test SOURCES ${tests} LIBS posefix::${NAME} ${test_deps} ${ARG_TEST_LIBS})
  endif()
  if(POSEFIX_TESTS AND golden_tests)
    posefix_test(${NAME}_golden_test GOLDEN SOURCES ${golden_tests} LIBS posefix::${NAME} ${test_deps} ${ARG_TEST_LIBS})
  endif()
endfunction()

# posefix_test(NAME SOURCES ... LIBS ... [GOLDEN]): one GoogleTest program, one ctest entry per TEST.
# Golden tests enumerate their files inside the test body, so the entries are the same for every golden set.
function(posefix_test NAME)
  cmake_parse_arguments(ARG "GOLDEN" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} posefix_testing GTest::gmock GTest::gtest GTest::gtest_main)
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  posefix_compile_options(${NAME})
  # A test's time is its build: the headers that nearly all include are compiled once, and -O3 would gain nothing.
  target_compile_options(${NAME} PRIVATE $<$<CONFIG:Release>:-O1>)
  posefix_precompile(${NAME} test <gmock/gmock.h> <gtest/gtest.h> <nlohmann/json.hpp>)
  set(labels ${NAME})
  if(ARG_GOLDEN)
    set(labels golden)
  endif()
  gtest_discover_tests(${NAME} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${labels} TIMEOUT 900)
endfunction()

# posefix_precompile(TARGET KIND HEADER...): compiles the headers once for all targets of the KIND (same flags).
function(posefix_precompile TARGET KIND)
  get_property(first GLOBAL PROPERTY posefix_precompiled_${KIND})
  if(first)
    target_precompile_headers(${TARGET} REUSE_FROM ${first})
  else()
    target_precompile_headers(${TARGET} PRIVATE ${ARGN})
    set_property(GLOBAL PROPERTY posefix_precompiled_${KIND} ${TARGET})
  endif()
  target_compile_options(${TARGET} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)  # lets ccache look through
endfunction()

# Warnings are errors in our code; contraction is off so that a figure does not depend on the CPU's FMA.
function(posefix_compile_options TARGET)
  target_compile_options(${TARGET} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror
    -ffp-contract=off)
  if(POSEFIX_SANITIZE)
    target_compile_options(${TARGET} PRIVATE -fsanitize=${POSEFIX_SANITIZE} -fno-omit-frame-pointer
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # GCC 12 sees ghosts in <regex> once it is instrumented
    target_link_options(${TARGET} PUBLIC -fsanitize=${POSEFIX_SANITIZE})
    if(POSEFIX_SANITIZE MATCHES "undefined")
      target_compile_options(${TARGET} PRIVATE -fno-sanitize-recover=all)
    endif()
  endif()
endfunction()
