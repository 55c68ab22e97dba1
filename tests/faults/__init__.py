"""Faults done to real sweeps, for real: `python -m tests.faults` prints a line for each, and what was lost (nothing).

alone        a sweep that nothing happens to
oracle       a sweep that was hit, compared with the same sweep left alone
chain        several faults done to one sweep, one after another; *_chain are these
bench        folders, references, and the count of what a fault did
driving      drivers and workers as processes: started, hit, waited for
ray_cluster  a Ray cluster of two nodes on this machine
disks        small file systems
table        what is printed
scratch      the folder of one call
soak         hundreds of trials on a cluster whose nodes come and go; strikes is what happens to it, and when
drivers, workers, adaptive, cluster, failing, room, damaged, trackers, budgets, growth    the faults, by theme
"""
