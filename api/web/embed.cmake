# cmake -DOUT=web_assets.c -DDIR=api/web "-DFILES=a;b" -P embed.cmake
set(arrays "")
set(table "")
foreach(name ${FILES})
    file(READ ${DIR}/${name} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR len "${digits} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n    " hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(MAKE_C_IDENTIFIER "${name}" id)
    string(APPEND arrays "static const unsigned char ${id}[] = {\n    ${bytes}0};\n")
    string(APPEND table "    {\"${name}\", ${id}, ${len}},\n")
endforeach()
file(WRITE ${OUT} "/* Made by api/web/embed.cmake. */\n#include \"api/web_assets.h\"\n\n${arrays}\n"
    "const wn_web_asset wn_web_assets[] = {\n${table}};\n"
    "const size_t wn_n_web_assets = sizeof wn_web_assets / sizeof wn_web_assets[0];\n")
