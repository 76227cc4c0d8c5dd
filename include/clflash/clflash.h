/* clflash.h -- all public headers. */
#ifndef CLFLASH_CLFLASH_H
#define CLFLASH_CLFLASH_H

#include <clflash/attention.h>
#include <clflash/base.h>
#include <clflash/device.h>
#include <clflash/problem.h>
#include <clflash/ref.h>
#include <clflash/tune.h>

#endif
