// Dropout whose mask depends on a key and on the image, not on the batch. C only (see fused.h).
#pragma once

extern "C" {

// x·mask/(1 - probability) in the graph, with x [B, ...] and 0 < probability < 1. The mask of image i
// follows from key, first_image + i and the position in the image's memory. `kernel`: 1 for the kernel of
// our own, which takes f32 and f64 on the CPU; 0 for libtorch's generators, on every device.
int inkdrop_dropout(const void *x, double probability, long long key, long long first_image, int kernel,
                    void **out, char **error);
}
