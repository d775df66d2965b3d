# SPDX-License-Identifier: Apache-2.0
target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/examples/http/request.c ${PROJECT_SOURCE_DIR}/examples/http/path.c)
target_link_libraries(${target} PRIVATE fuzz_llhttp)
