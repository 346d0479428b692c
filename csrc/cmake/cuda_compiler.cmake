# Whether the CUDA part is built and for which devices: enables the language where it is, and sets
# with_cuda and cuda_architectures. AUTO takes what works and goes without the rest; ON stops.
include(CheckLanguage)
include(CheckSourceCompiles)

function(go_without_cuda why)
  if(TOMOLIFT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TOMOLIFT_CUDA is ON and ${why}")
  endif()
  message(STATUS "CUDA part left out: ${why}")
endfunction()

set(with_cuda OFF)
set(cuda_architectures "")
if(TOMOLIFT_CUDA STREQUAL "OFF")
  return()
endif()

# 1 a compiler: PATH and CUDACXX alone, where CMake by itself would search further
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)  # of an earlier attempt
  if("$ENV{CUDACXX}" STREQUAL "")
    find_program(nvcc nvcc PATHS ENV PATH NO_DEFAULT_PATH NO_CACHE)
    if(NOT nvcc)
      go_without_cuda("no CUDA compiler was found: put nvcc on PATH or set CUDACXX")
      return()
    endif()
    set(ENV{CUDACXX} "${nvcc}")
  endif()
endif()

# 2 that compiles for any device at all, which it does not with a host compiler it rejects
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  # once more by hand, as CMake keeps what the compiler says to itself
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/empty.cu" "")
  separate_arguments(command UNIX_COMMAND "$ENV{CUDACXX} -c empty.cu -o empty.o")
  if(NOT "$ENV{CUDAHOSTCXX}" STREQUAL "")
    list(APPEND command -ccbin "$ENV{CUDAHOSTCXX}")
  endif()
  execute_process(COMMAND ${command} WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
                  RESULT_VARIABLE status OUTPUT_VARIABLE words ERROR_VARIABLE words)
  string(REGEX REPLACE "[ \r\n]+" " " words "${status} ${words}")
  string(STRIP "${words}" words)
  go_without_cuda("$ENV{CUDACXX} does not work (it says: ${words}): mend it, or name another host \
compiler by CUDAHOSTCXX")
  return()
endif()

# 3 for our devices, of which an older one may not know the newest
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known ERROR_QUIET)
foreach(architecture IN LISTS TOMOLIFT_CUDA_ARCHITECTURES)
  if(known MATCHES "compute_${architecture}(\n|$)")
    list(APPEND cuda_architectures ${architecture})
  else()
    message(STATUS
      "CUDA architecture ${architecture} left out: ${CMAKE_CUDA_COMPILER} does not know it")
  endif()
endforeach()
if(NOT cuda_architectures)
  go_without_cuda("${CMAKE_CUDA_COMPILER} knows none of ${TOMOLIFT_CUDA_ARCHITECTURES}: install CUDA \
12.8 or newer for 80, 90 and 100")
  return()
endif()
list(TRANSFORM cuda_architectures APPEND -real OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
list(GET cuda_architectures -1 newest)
list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)

# 4 with the options, headers and libraries that ours needs: toolkits come in pieces
set(cuda_options --threads 0)  # one thread per architecture where cores allow
set(CMAKE_REQUIRED_FLAGS "--threads 0")
check_source_compiles(CUDA "
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
__global__ void kernel() {}
int main() { kernel<<<1, 1>>>(); return int(cudaGetLastError()); }
" TOMOLIFT_CUDA_COMPILES)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT TOMOLIFT_CUDA_COMPILES)
  go_without_cuda("${CMAKE_CUDA_COMPILER} compiles no kernel: complete its headers and libraries")
  return()
endif()
set(with_cuda ON)
list(JOIN cuda_architectures " " names)
message(STATUS "CUDA part for architectures ${names}")
