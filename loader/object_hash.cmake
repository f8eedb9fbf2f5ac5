# SPDX-License-Identifier: LGPL-2.1-or-later
# Write a header that identifies the programs: cmake -DOBJECT=... -DHEADER=... -P object_hash.cmake
file(SHA256 ${OBJECT} hash)
string(SUBSTRING ${hash} 0 16 hash)
file(WRITE ${HEADER} "/* Made by object_hash.cmake. */\n#define SNAPSHOT_OBJECT_HASH \"${hash}\"\n")
