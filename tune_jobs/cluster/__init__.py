"""Sweeps on a Ray cluster, from outside: submit, look, follow, stop, copy. All through the Ray Jobs API.

jobs         the API at an address; every call has a deadline, and its errors are ours
gate         where every reply and name of a cluster is checked
archive      the same for files
auth         who asks: a user in the address, or a token
follow       what a job says, over connections that break
package      what is shipped with a job: the sweep's file, and our code unless the cluster has it
job_result   what a small job finds out, sent back through its log
transfer     a sweep's folder, or its record alone, copied from the cluster
probe        what the cluster has: versions, resources, storage, images, tracker
catalog      a sweep on the cluster by its name or job: its jobs, copies of its record, its end
submission   submit and the commands that restart a sweep

What a job of ours runs is `tune_jobs.cli.cluster_job`; what a probe's findings mean, `tune_jobs.doctor.cluster`.
"""
