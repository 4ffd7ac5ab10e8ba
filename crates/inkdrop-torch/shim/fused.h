// Layers on a CPU that do in one go what libtorch does in several. C only; every function returns 0,
// or 1 with `error` set (see shim.h). Tensors are at::Tensor; a null one is none.
#pragma once
#include <cstddef>

extern "C" {

// True if this libtorch has oneDNN and the operators of inkdrop_packed_conv.
int inkdrop_can_pack(int *can, char **error);

// A convolution over two axes whose weight is in oneDNN's own order (mkldnn_reorder_conv2d_weight),
// then 0 nothing, 1 ReLU, 2 SiLU or 3 GELU (with erf). `other` is added to the result; with it,
// `activation` is 0.
int inkdrop_packed_conv(const void *x, const void *weight, const void *bias, const void *other,
                        const long long *stride, const long long *padding, int activation,
                        void **out, char **error);

// The weight of a 3x3 convolution, [outputs, inputs, 3, 3] in f32 or bf16 with outputs in multiples of 32
// and inputs of 16, in the form that inkdrop_winograd_conv takes. Tile: 2 for F(2x2, 3x3), 4 for
// F(4x4, 3x3), 1 for a 1x1 convolution.
// 1 if weights in bf16 are taken: their products are summed in f32 (AVX512-BF16).
int inkdrop_multiplies_bf16(int *found, char **error);

int inkdrop_winograd_weight(const void *weight, int tile, void **out, char **error);

// A 3x3 convolution with stride 1 and padding 1, or a 1x1 one, as inkdrop_packed_conv. x is in f32 with any
// weight.
int inkdrop_winograd_conv(const void *x, const void *weight, const void *bias, const void *other,
                          int activation, void **out, char **error);

// The same in the graph, with the weight as it is trained and without activation; inputs and outputs in
// multiples of 32.
int inkdrop_winograd_trained(const void *x, const void *weight, const void *bias, const void *other,
                             int tile, void **out, char **error);

// Group normalisation of x + before, then 0 nothing, 1 ReLU, 2 SiLU or 3 GELU, in the graph where it is
// recorded; f32, [B, C, H, W] with C a multiple of 16. `before`, `scale` and `shift` are [1, C] or
// [B, C].
int inkdrop_group_norm(const void *x, const void *before, const void *scale, const void *shift,
                       long long groups, double eps, int activation, void **out, char **error);

// Batch normalisation with the statistics of x, in the same way; `scale` and `shift` are [1, C]. `mean` and
// `spread`, 1/√(variance + eps), are [C].
int inkdrop_batch_norm(const void *x, const void *scale, const void *shift, double eps,
                       int activation, void **out, void **mean, void **spread, char **error);

// x/‖x‖·scale + shift, with the norm over the channels of each pixel, and an activation, in the same way.
int inkdrop_rms_norm(const void *x, const void *scale, const void *shift, int activation, void **out,
                     char **error);
}
