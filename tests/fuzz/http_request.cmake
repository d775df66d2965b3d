# SPDX-License-Identifier: Apache-2.0
set(http ${PROJECT_SOURCE_DIR}/examples/http)
target_sources(${target} PRIVATE ${http}/request.c ${http}/condition.c ${http}/path.c)
target_link_libraries(${target} PRIVATE fuzz_llhttp)
