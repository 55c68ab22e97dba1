"""Profile a training step on an NVIDIA GPU: where its time goes, and what to improve next.

Run: `python -m benchmarks.gpu` (at most 8 minutes); `--out benchmarks/results/NAME.md` saves the result. It needs only
torch and numpy. `--device cpu` runs the same code on small models, to test it.

First, each model is compared with itself in float64 on the CPU, in evaluation mode with the same candidates. Each layer
gets the input of the float64 layer, and the outputs are compared. In fp32, the logits and gradients are compared as
well, if every layer agrees on every image. (Below fp32, a rounded input has other neighbors, so the logits are reported
but not checked.) Ties between equally similar neighbors may be broken differently, so only a fraction of the images
must agree (AGREE). A model that fails is not timed.

Then `convnn.training.fit` trains it on synthetic images. The results are:

- step: time from the start of a step to the start of the next, on the device's clock: median, minimum and maximum;
- epoch: time of the whole epoch per step;
- launches: kernels, copies and fills per step on the device; `busy` is the time in which any of them ran;
- waits: how often per step the host waited for the device;
- memory: peak of the allocator; and the time to evaluate a batch.

Last, single layers: forward and backward in eager mode, and as replay of a CUDA graph, which is the device's time
alone. The difference is the cost of launching.
"""
