# LibTorch: the active Python's torch or CMAKE_PREFIX_PATH (2.x) when there is one, else Debian's 1.13.
# Provides the target posefix_torch.
find_package(Torch REQUIRED)
add_library(posefix_torch INTERFACE)
target_include_directories(posefix_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(posefix_torch INTERFACE ${TORCH_LIBRARIES})
