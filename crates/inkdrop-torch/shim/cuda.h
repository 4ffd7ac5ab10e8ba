// What Rust sees of the shim's CUDA half: C only, no exception leaves it.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

// True if operations of this thread record gradients.
int inkdrop_grad_enabled();

// What the libtorch of this process was built of, as a text made with inkdrop_text.
int inkdrop_config(char **text, char **error);

// Fills in bytes of the GPU `device`: free, in all, and libtorch's peak since the last reset.
int inkdrop_memory(int device, int64_t *numbers, char **error);
int inkdrop_reset_peak(int device, char **error);

// A tensor of the CPU on the GPU `device`, copied asynchronously from pinned memory.
int inkdrop_copy_to_gpu(const void *tensor, int device, void **out, char **error);

// True if the libtorch of this process has the functions of CUDA graphs.
int inkdrop_graph_ready(char **error);

// A graph in the making: this thread computes on a side stream from here to inkdrop_graph_leave.
int inkdrop_graph_new(int device, void **graph, char **error);
// What is enqueued from here on is recorded, not run; waits for what was enqueued before.
int inkdrop_graph_begin(void *graph, char **error);
int inkdrop_graph_end(void *graph, char **error);
// Back to the stream from before; gives up a recording that is still open. Returns 1 where
// libtorch could not close it: then no other may be made in this process.
int inkdrop_graph_leave(void *graph);
// Enqueues what was recorded on this thread's current stream.
int inkdrop_graph_replay(void *graph, char **error);
void inkdrop_graph_drop(void *graph);
}
