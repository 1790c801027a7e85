# Builds of llama-cpp-python that compile only what baize-tui uses, without llama.cpp's AMX kernels.
# Preload this file with CMake's -C. Every installer passes this variable on:
#
#   CMAKE_ARGS="-C$PWD/build_llama/quick.cmake" pip install llama-cpp-python
#
# CMake reads it twice: once before the project (-C), and again right after the project() of
# llama-cpp-python, because of CMAKE_PROJECT_llama_cpp_INCLUDE below.

if(NOT DEFINED PROJECT_NAME)
    set(CMAKE_PROJECT_llama_cpp_INCLUDE "${CMAKE_CURRENT_LIST_FILE}"
        CACHE FILEPATH "Settings of baize-tui for llama-cpp-python")
    # libmtmd (images and sound) is used only by llama_cpp.mtmd_cpp.
    set(LLAVA_BUILD OFF CACHE BOOL "Build libmtmd")
    return()
endif()

# libllama-common (argument parsing and tool calls of llama.cpp's own programs) has no bindings.
# llama-cpp-python forces the cache variable on; a normal variable takes precedence (CMP0126).
set(LLAMA_BUILD_COMMON OFF)

# GCC drops the tile configuration that the AMX kernels load, so they end in SIGSEGV on every
# processor that has AMX (llama.cpp issue 20824). Without this macro the kernels are not compiled.
add_compile_options("$<$<COMPILE_LANG_AND_ID:C,GNU,Clang,AppleClang,IntelLLVM>:-U__AMX_INT8__>"
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang,IntelLLVM>:-U__AMX_INT8__>")
