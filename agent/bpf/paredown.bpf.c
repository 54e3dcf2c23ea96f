// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Every program, in one object: a header for each idea, and each with the maps that are its own.
 *
 * Helpers and map types are those of Linux 5.10; what is newer stands in programs of its own that
 * are loaded where the kernel has it.
 */
#include "again.h"
#include "calls.h"
#include "capabilities.h"
#include "loader.h"
#include "lookups.h"
#include "opens.h"
#include "ports.h"
#include "sessions.h"
#include "trampolines.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
