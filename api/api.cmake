# The web page and the OpenAPI schemas as a C file: see web_assets.h.
set(WN_WEB_FILES index.html app.js style.css schemas.json)
list(TRANSFORM WN_WEB_FILES PREPEND ${CMAKE_SOURCE_DIR}/api/web/ OUTPUT_VARIABLE WN_WEB_PATHS)
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/generated/web_assets.c
    COMMAND ${CMAKE_COMMAND} "-DOUT=${CMAKE_BINARY_DIR}/generated/web_assets.c"
        "-DDIR=${CMAKE_SOURCE_DIR}/api/web" "-DFILES=${WN_WEB_FILES}"
        -P ${CMAKE_SOURCE_DIR}/api/web/embed.cmake
    DEPENDS ${WN_WEB_PATHS} ${CMAKE_SOURCE_DIR}/api/web/embed.cmake
    COMMENT "Embedding api/web"
    VERBATIM)
target_sources(wn_api PRIVATE ${CMAKE_BINARY_DIR}/generated/web_assets.c)
