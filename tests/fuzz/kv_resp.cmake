# SPDX-License-Identifier: Apache-2.0
get_property(kv_core GLOBAL PROPERTY KV_CORE)
target_sources(${target} PRIVATE ${kv_core})
target_compile_definitions(${target} PRIVATE KV_SHARD_BITS=6) # what is emptied all the time is small
target_link_libraries(${target} PRIVATE ${CK_LIBRARY} PkgConfig::SODIUM Threads::Threads)
