# For torch's CPU build, which has a separate package index and other hashes. Prints the lock without torch and its CUDA
# libraries, and writes the locked versions of torch and torchvision to the file `pins`.
#
#   awk -v pins=torch.txt -f docker/cpu.awk requirements.lock > others.txt
#
# Trailing backslashes join a package to its hashes, so packages are dropped as whole blocks.
/^[^ ]/ {
    name = $1
    sub(/==.*/, "", name)
    kept = name !~ /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)$/
    if (name ~ /^(torch|torchvision)$/) print $1 > pins
}
kept
