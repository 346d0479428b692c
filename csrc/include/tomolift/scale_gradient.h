// A gradient from the forward pass times the loss's grad_output, which lies on the device.
#pragma once

#include "tomolift/types.h"

namespace tomolift {

// Writes gradient * factor; zeros stay zero whatever the factor is, as those of voxels left out
// must. Nobody waits for the factor. Where it is one, as after `loss.backward()`, a call in place
// (out is gradient) reads nothing else and writes nothing. In place it is not idempotent, and
// undoing a factor is no way out (0, infinity and rounding have no inverse): whoever keeps the
// graph for another backward pass gives an `out` of its own and pays for the copy; whoever frees it
// works in place. Returns a cudaError_t; the work is enqueued on `stream` (a cudaStream_t).
int scale_gradient_cuda(LogitsType type, int64_t count,
                        const float* factor,   // [1]
                        const void* gradient,  // [count] of the type, not float64
                        void* out,             // [count] of the type
                        void* stream);

}  // namespace tomolift
