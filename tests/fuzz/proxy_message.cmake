# SPDX-License-Identifier: Apache-2.0
target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/examples/proxy/message.c)
target_link_libraries(${target} PRIVATE fuzz_llhttp)
