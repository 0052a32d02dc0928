# Flags of single kernel files, and the CUDA kernels.
# Floating-point contraction is off so that a * b + c in plain C means the same in every table.
set(WN_AVX2_FLAGS -O3 -ffp-contract=off -mavx2 -mfma -mf16c)
if(WN_SANITIZE) # checks of every access in unrolled loops: at -O3 gcc needs five times as long
    list(APPEND WN_AVX2_FLAGS -O1)
endif()
set(WN_AVX512_FLAGS ${WN_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512dq -mavx512vl
    -mavx512vnni)
set(WN_AVX512BF16_FLAGS ${WN_AVX512_FLAGS} -mavx512bf16)
set(WN_AMX_FLAGS ${WN_AVX512BF16_FLAGS} -mamx-tile -mamx-bf16)
# Plain loops over the elements of a row: worth the vectoriser.
set_source_files_properties(kernels/kv_page.c PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=off")
set_source_files_properties(kernels/kernels_avx2.c PROPERTIES COMPILE_OPTIONS "${WN_AVX2_FLAGS}")
set_source_files_properties(kernels/kernels_avx512.c PROPERTIES COMPILE_OPTIONS "${WN_AVX512_FLAGS}")
set_source_files_properties(kernels/kernels_avx512bf16.c PROPERTIES
    COMPILE_OPTIONS "${WN_AVX512BF16_FLAGS}")
set_source_files_properties(kernels/kernels_amx.c PROPERTIES COMPILE_OPTIONS "${WN_AMX_FLAGS}")
set_source_files_properties(kernels/kernels_amx_emulated.c PROPERTIES
    COMPILE_OPTIONS "${WN_AVX2_FLAGS}")

if(WN_CUDA)
    if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
        find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
    endif()
    set(WN_CUDA_ARCHITECTURES 80 89 90 100 120 CACHE STRING "Compute capabilities to compile for")
    set(CMAKE_CUDA_ARCHITECTURES ${WN_CUDA_ARCHITECTURES})
    set(CMAKE_CUDA_STANDARD 17)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    target_sources(wn_kernels PRIVATE kernels/cuda_attention.cu kernels/cuda_rows.cu
        kernels/cuda_weights.cu)
    target_compile_options(wn_kernels PRIVATE
        "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall>")
    set_target_properties(wn_kernels PROPERTIES CUDA_ARCHITECTURES "${WN_CUDA_ARCHITECTURES}")
    target_link_libraries(wn_kernels PUBLIC CUDA::cudart_static)
endif()
