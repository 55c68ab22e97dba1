"""Real faults injected into real sweeps: `python -m tests.faults` prints a line for each fault and what was lost.

alone        sweeps without faults
trainer      the process that trains them
oracle       compares a sweep with faults with an undisturbed run of the same sweep
chain        several faults injected into one sweep, one after another; the modules *_chain are such chains
bench        folders, references, and counts of what a fault did
driving      drivers and workers as processes: start them, signal them, wait for them
ray_cluster  a Ray cluster of two nodes on this machine
disks        small file systems
table        the output
scratch      the folder of one call
soak         hundreds of trials on a cluster whose nodes come and go
strikes      the faults of the soak, and their times
drivers, workers, adaptive, cluster, failing, room, damaged, trackers, budgets, growth    the faults, by topic
"""
