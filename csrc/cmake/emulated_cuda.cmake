# CUDA sources as C++ against the stand-in of tests/emulated_cuda, for tests where there is no GPU.
add_library(emulated_cuda STATIC
  tests/emulated_cuda/fiber.cpp tests/emulated_cuda/schedule.cpp)
target_include_directories(emulated_cuda PUBLIC tests/emulated_cuda)
target_compile_options(emulated_cuda PRIVATE -Wall -Wextra)
set_source_files_properties(tests/emulated_cuda/schedule.cpp PROPERTIES
  COMPILE_OPTIONS -fno-sanitize=thread)

# add_emulated_cuda(name source...): a library of the sources for this machine
function(add_emulated_cuda name)
  set(sources "")
  foreach(source IN LISTS ARGN)
    # by an include, so that the same file can be CUDA to CMake elsewhere
    set(wrapper "${CMAKE_CURRENT_BINARY_DIR}/${name}/${source}.cpp")
    file(CONFIGURE OUTPUT "${wrapper}" CONTENT "#include \"${CMAKE_CURRENT_SOURCE_DIR}/${source}\"\n")
    list(APPEND sources "${wrapper}")
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC include)
  target_link_libraries(${name} PUBLIC emulated_cuda)
  # vectors are read through other types than they were written, which nvcc allows
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wno-unknown-pragmas -fno-strict-aliasing)
endfunction()
