# For torch's CPU build, which has an address of its own and other hashes: prints the lock without torch and its CUDA
# libraries, and writes the locked versions of torch and torchvision into the file `pins`.
#
#   awk -v pins=torch.txt -f docker/cpu.awk requirements.lock > others.txt
#
# A package is joined to its hashes by trailing backslashes, so packages are dropped as whole blocks.
/^[^ ]/ {
    name = $1
    sub(/==.*/, "", name)
    kept = name !~ /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)$/
    if (name ~ /^(torch|torchvision)$/) print $1 > pins
}
kept
