# The libraries that need an accelerator's own headers, each built where these are found. They are loaded at run time, so
# a build without them is whole.
#
#   libposefix_nccl.so        connects training processes on CUDA devices (train/process_group.h)
#   libposefix_cuda_graph.so  records work as a CUDA graph (torchgraph/recording.h)
#     both: a LibTorch with libtorch_cuda; CUDA's headers and nccl.h from the nvidia packages that came with it from PyPI,
#     else from a CUDA toolkit (CUDA_HOME, /usr/local/cuda) and the system
#   libposefix_hccl.so        connects training processes on Ascend NPUs: torch_npu beside LibTorch in a Python
#                             environment, or in POSEFIX_TORCH_NPU_ROOT
set(POSEFIX_TORCH_NPU_ROOT "" CACHE PATH "A torch_npu folder with include/ and lib/ (default: beside LibTorch)")
set(posefix_site_packages ${POSEFIX_TORCH_FOUND}/..)

# posefix_device_library(NAME SOURCE INCLUDES folder... LIBRARIES file...): libposefix_NAME.so of src/SOURCE.
function(posefix_device_library NAME SOURCE)
  cmake_parse_arguments(ARG "" "" "INCLUDES;LIBRARIES;DEFINITIONS" ${ARGN})
  add_library(posefix_${NAME} SHARED ${PROJECT_SOURCE_DIR}/src/${SOURCE})
  target_include_directories(posefix_${NAME} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(posefix_${NAME} SYSTEM PRIVATE ${ARG_INCLUDES})
  target_compile_definitions(posefix_${NAME} PRIVATE USE_C10D_GLOO ${ARG_DEFINITIONS})
  target_link_libraries(posefix_${NAME} PRIVATE posefix_torch ${ARG_LIBRARIES})
  posefix_compile_options(posefix_${NAME})
  add_dependencies(posefix_train_module posefix_${NAME})
  add_dependencies(posefix_torch_backend posefix_${NAME})
  set_target_properties(posefix_${NAME} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS posefix_${NAME} LIBRARY DESTINATION lib)
endfunction()

find_library(posefix_torch_cuda torch_cuda PATHS ${POSEFIX_TORCH_FOUND}/lib NO_DEFAULT_PATH NO_CACHE)
if(posefix_torch_cuda)
  file(GLOB posefix_cuda_folders ${posefix_site_packages}/nvidia/*/include)
  set(posefix_cuda_includes "")
  set(posefix_cuda_missing "")
  foreach(header cuda_runtime_api.h cublas_v2.h cusparse.h cusolverDn.h nccl.h)
    find_path(posefix_header_folder ${header} HINTS ${posefix_cuda_folders} PATHS $ENV{CUDA_HOME}/include /usr/local/cuda/include NO_CACHE)
    if(posefix_header_folder)
      list(APPEND posefix_cuda_includes ${posefix_header_folder})
    else()
      list(APPEND posefix_cuda_missing ${header})
    endif()
    unset(posefix_header_folder)
  endforeach()
  list(REMOVE_DUPLICATES posefix_cuda_includes)
  if(posefix_cuda_missing)
    message(STATUS "NCCL, CUDA graphs: not built, these headers were not found: ${posefix_cuda_missing}")
  else()
    set(posefix_cuda_libraries ${posefix_torch_cuda} ${POSEFIX_TORCH_FOUND}/lib/libc10_cuda.so)
    posefix_device_library(nccl train/device_groups/nccl_group.cc INCLUDES ${posefix_cuda_includes}
      DEFINITIONS USE_C10D_NCCL LIBRARIES ${posefix_cuda_libraries})
    posefix_device_library(cuda_graph torchgraph/device_graphs/cuda_graph.cc INCLUDES ${posefix_cuda_includes}
      LIBRARIES ${posefix_cuda_libraries})
    message(STATUS "NCCL, CUDA graphs: ${posefix_cuda_includes}")
  endif()
endif()

if(NOT POSEFIX_TORCH_NPU_ROOT AND EXISTS ${posefix_site_packages}/torch_npu/include)
  set(POSEFIX_TORCH_NPU_ROOT ${posefix_site_packages}/torch_npu)
endif()
if(POSEFIX_TORCH_NPU_ROOT)
  posefix_device_library(hccl train/device_groups/hccl_group.cc INCLUDES ${POSEFIX_TORCH_NPU_ROOT}/include ${POSEFIX_TORCH_FOUND}/include/torch/csrc/distributed
    LIBRARIES ${POSEFIX_TORCH_NPU_ROOT}/lib/libtorch_npu.so)
  message(STATUS "HCCL: ${POSEFIX_TORCH_NPU_ROOT}")
endif()
