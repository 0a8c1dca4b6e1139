# SPDX-License-Identifier: MIT
# cmake -DIN=page.js -DOUT=page_js.c -DNAME=nn_page_js -P embed.cmake: a text file as a NUL-terminated C array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(................................)" "\\1\n" lines "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${lines}")
file(WRITE ${OUT} "extern const char ${NAME}[];\nconst char ${NAME}[] = {\n${bytes}0};\n")
