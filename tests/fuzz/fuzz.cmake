# tests/fuzz/fuzz_<name>.c: one LLVMFuzzerTestOneInput each, with real small inputs in corpus/<name>/.
# Normal builds replay the corpus and fixed mutations of it (replay_main.c); with the preset `fuzz`
# (clang) the targets are libFuzzer programs, to be started by hand:
#     build-fuzz/tests/fuzz_gguf -max_total_time=60 tests/fuzz/corpus/gguf
option(WN_FUZZ "Build the fuzz targets for libFuzzer (clang; see the preset fuzz)" OFF)
set(WN_FUZZ_MUTATIONS 2000 CACHE STRING "Mutations that a replayed fuzz target runs as a test")

file(GLOB sources CONFIGURE_DEPENDS fuzz/fuzz_*.c)
foreach(source ${sources})
    get_filename_component(target ${source} NAME_WE)
    string(REPLACE "fuzz_" "" name ${target})
    add_executable(${target} ${source})
    target_compile_options(${target} PRIVATE ${WN_WARNINGS})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR})
    # Linked with the rooms whose headers it includes, and no others.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} includes REGEX "^#include \"[a-z]+/")
    foreach(room ${WN_ROOMS})
        if(includes MATCHES "\"${room}/")
            target_link_libraries(${target} PRIVATE wn_${room})
        endif()
    endforeach()
    target_link_libraries(${target} PRIVATE wn_base)
    if(WN_FUZZ)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        continue()
    endif()
    target_sources(${target} PRIVATE fuzz/replay_main.c)
    add_test(NAME fuzz.${name} COMMAND ${target} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name}
        ${WN_FUZZ_MUTATIONS})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 600)
endforeach()
