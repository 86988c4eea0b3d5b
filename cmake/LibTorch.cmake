# LibTorch, found without its CMake files: those of CUDA builds ask for a CUDA toolkit, which our sources never need
# (a device's kernels are loaded at run time, see torchgraph/device.h).
#
# Looked for, in this order: POSEFIX_TORCH_ROOT, CMAKE_PREFIX_PATH, the active Python's torch, Debian's libtorch-dev.
# A LibTorch 2.x built with the old C++ ABI is refused, since everything else here uses the new one.
# Provides the target posefix_torch and POSEFIX_TORCH_VERSION.
set(POSEFIX_TORCH_ROOT "" CACHE PATH "A LibTorch folder with include/ and lib/ (default: Python's torch, else the system's)")

function(posefix_find_torch)
  set(roots "${POSEFIX_TORCH_ROOT}")
  if(NOT POSEFIX_TORCH_ROOT)
    foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
      # CMAKE_PREFIX_PATH may name LibTorch's root or its share/cmake, as torch.utils.cmake_prefix_path does.
      if(EXISTS ${prefix}/../../include/torch/csrc)
        get_filename_component(prefix ${prefix}/../.. ABSOLUTE)
      endif()
      list(APPEND roots ${prefix})
    endforeach()
    find_program(posefix_python python3)
    if(posefix_python)
      execute_process(COMMAND ${posefix_python} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
        OUTPUT_VARIABLE python_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      list(APPEND roots ${python_torch})
    endif()
    unset(posefix_python CACHE)
    list(APPEND roots /usr)
  endif()
  foreach(root IN LISTS roots)
    file(GLOB header ${root}/include/torch/csrc/api/include/torch/version.h)
    find_library(torch_cpu torch_cpu PATHS ${root}/lib ${root}/lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH NO_CACHE)
    find_library(c10 c10 PATHS ${root}/lib ${root}/lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH NO_CACHE)
    if(header AND torch_cpu AND c10)
      file(STRINGS ${header} version REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      string(REGEX REPLACE "[^0-9;]" "" version "${version}")
      list(JOIN version . version)
      file(STRINGS ${c10} old_abi REGEX "_ZN3c105ErrorC1ENS_14SourceLocationESs" LIMIT_COUNT 1)
      if(NOT old_abi)
        set(POSEFIX_TORCH_FOUND ${root} PARENT_SCOPE)
        set(POSEFIX_TORCH_VERSION ${version} PARENT_SCOPE)
        set(POSEFIX_TORCH_LIBRARIES ${torch_cpu} ${c10} PARENT_SCOPE)
        return()
      endif()
      message(STATUS "LibTorch ${version} in ${root} was built with the old C++ ABI; looking further")
    endif()
    unset(torch_cpu)
    unset(c10)
  endforeach()
  message(FATAL_ERROR "LibTorch not found in: ${roots}. Install libtorch-dev and libopenblas0-pthread "
    "(make setup does), set POSEFIX_TORCH_ROOT, or configure with -DPOSEFIX_TORCH=OFF to build without training.")
endfunction()

posefix_find_torch()
message(STATUS "LibTorch ${POSEFIX_TORCH_VERSION}: ${POSEFIX_TORCH_FOUND}")
add_library(posefix_torch INTERFACE)
if(NOT POSEFIX_TORCH_FOUND STREQUAL "/usr")
  target_include_directories(posefix_torch SYSTEM INTERFACE ${POSEFIX_TORCH_FOUND}/include)
endif()
target_include_directories(posefix_torch SYSTEM INTERFACE ${POSEFIX_TORCH_FOUND}/include/torch/csrc/api/include)
target_link_libraries(posefix_torch INTERFACE ${POSEFIX_TORCH_LIBRARIES} ${CMAKE_DL_LIBS})
