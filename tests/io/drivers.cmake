# SPDX-License-Identifier: Apache-2.0
target_link_libraries(${target} PRIVATE util) # openpty, with older C libraries
