# SPDX-License-Identifier: Apache-2.0
#
# The processes that are looked at: one with the shared library, one with the static one, which ThreadSanitizer cannot
# tell from the program (see tsan.supp), so there it is not asked.
foreach(way shared static)
    add_executable(test_tools_target_${way} ${CMAKE_CURRENT_SOURCE_DIR}/tools/targets/target.c)
    target_compile_definitions(test_tools_target_${way} PRIVATE _GNU_SOURCE=)
endforeach()
target_link_libraries(test_tools_target_shared PRIVATE sinew::sinew Threads::Threads)
target_link_libraries(test_tools_target_static PRIVATE sinew::sinew_static Threads::Threads)

add_executable(test_tools_other_version ${CMAKE_CURRENT_SOURCE_DIR}/tools/targets/other_version.c)

add_dependencies(${target} test_tools_target_shared test_tools_target_static test_tools_other_version)
if(TARGET sinew_tool)
    add_dependencies(${target} sinew_tool)
    set(tool "$<TARGET_FILE:sinew_tool>")
else()
    set(tool "") # every test says that it is skipped
endif()
target_compile_definitions(
    ${target} PRIVATE TOOL="${tool}" TARGET_SHARED="$<TARGET_FILE:test_tools_target_shared>"
                      TARGET_STATIC="$<TARGET_FILE:test_tools_target_static>"
                      TARGET_OTHER_VERSION="$<TARGET_FILE:test_tools_other_version>")
