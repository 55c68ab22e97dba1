"""Where the time of a training step goes on an NVIDIA GPU, and so what to improve next.

Run: `python -m benchmarks.gpu` (at most 8 minutes); `--out benchmarks/results/NAME.md` keeps the result. It needs torch
and numpy alone. `--device cpu` runs the same code on small models, to test it.

Each model is first compared with itself in float64 on the CPU, in evaluation, with the same candidates: what each layer
makes of what that model's layer was given; in fp32 also the logits and the gradients, where every layer of every image
agrees. (Rounded below fp32, a layer's input has other neighbors, so that the logits, which are told, are not judged.)
Where another of two equally similar neighbors was chosen an image may differ, so a share of them must agree (AGREE). A
model that fails is not timed.

Then `convnn.training.fit` trains it on made-up images. Given are:

- step: from the start of a step to that of the next, on the device's clock; the median, and the least and the most;
- epoch: what the whole epoch took, by step;
- launches: kernels, copies and fills of a step on the device, and `busy`, the time in which it worked on any of them;
- waits: how often in a step the host waited for the device;
- memory: the peak of the allocator; and the time to evaluate a batch.

Last, single layers: forward and backward as usual, and as replay of a CUDA graph, which is the device's time alone.
The difference is what launching costs.
"""
