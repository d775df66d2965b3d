# SPDX-License-Identifier: Apache-2.0
target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/io/address.c)
